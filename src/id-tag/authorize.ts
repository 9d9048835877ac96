// May this idTag start here, now? Pure: the idTag, the connectors and the holds of one charger give the decision,
// which the API shows as it is and the wire translates. It never tells whose the hold is.
import { isInUse, isOutOfOrder, type ConnectorState } from '../charger/connector.ts';
import { type IdTag, type IdTagStatus, sameId, statusOf } from './id-tag.ts';

/** As much of a reservation as a decision needs. */
export interface Hold {
  readonly connectorId: number;
  readonly idTag: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
}

export interface ChargerHolds {
  readonly connectors: readonly { readonly connectorId: number; readonly state: ConnectorState }[];
  readonly holds: readonly Hold[];
}

export type Authorization =
  | { readonly status: IdTagStatus; readonly parentIdTag?: string; readonly openConnectors: readonly number[] }
  | {
      readonly status: 'RESERVED';
      readonly reservedUntil: Date;
      readonly parentIdTag?: string;
      readonly openConnectors: readonly number[];
    };

/**
 * `connectorId` 0 asks about the charger as a whole: RESERVED only when every usable connector is held for others.
 * `openConnectors` are those the idTag may use.
 */
export function authorize(idTag: IdTag | undefined, connectorId: number, charger: ChargerHolds, now: Date): Authorization {
  const parent = idTag?.parentIdTag === undefined ? {} : { parentIdTag: idTag.parentIdTag };
  const status = statusOf(idTag, now);
  if (status !== 'ACCEPTED' || idTag === undefined) return { status, ...parent, openConnectors: [] };

  const holds = charger.holds.filter((hold) => hold.expiryDate > now);
  const others = holds.filter((hold) => !isHeldFor(hold, idTag));
  if (others.length === 0) return { status, ...parent, openConnectors: usableIds(charger) };

  const openConnectors = openTo(idTag, connectorId, charger, holds);
  const isOpen = connectorId === 0 ? openConnectors.length > 0 : openConnectors.includes(connectorId);
  if (isOpen) return { status, ...parent, openConnectors };
  const specific = others.find((hold) => connectorId !== 0 && hold.connectorId === connectorId);
  const reservedUntil = specific?.expiryDate ?? soonestEnd(others);
  return { status: 'RESERVED', reservedUntil, ...parent, openConnectors };
}

/** The holder, or a member of the group the reservation names. A parent idTag shown as a token is not a member. */
export const isHeldFor = (hold: Pick<Hold, 'idTag' | 'parentIdTag'>, idTag: IdTag): boolean =>
  sameId(hold.idTag, idTag.idTag) || sameId(hold.parentIdTag, idTag.parentIdTag);

/** A connector asked for by name counts as usable even while a vehicle stands there: it is the asker's. */
function openTo(idTag: IdTag, asked: number, charger: ChargerHolds, holds: readonly Hold[]): number[] {
  const usable = charger.connectors.filter(({ connectorId, state }) => connectorId === asked || isUsable(state));
  const known = usable.map(({ connectorId }) => connectorId);
  const candidates = asked > 0 && !known.includes(asked) ? [...known, asked] : known;
  const heldFor = (connectorId: number) => holds.find((hold) => hold.connectorId === connectorId);
  const own = candidates.filter((id) => {
    const hold = heldFor(id);
    return hold !== undefined && isHeldFor(hold, idTag);
  });
  const free = candidates.filter((id) => heldFor(id) === undefined);
  const anywhere = holds.filter((hold) => hold.connectorId === 0);
  if (anywhere.some((hold) => isHeldFor(hold, idTag))) return [...own, ...free].sort((a, b) => a - b);
  // One connector must stay available for each hold that names none.
  return free.length > anywhere.length ? [...own, ...free].sort((a, b) => a - b) : own;
}

const isUsable = (state: ConnectorState) => !isOutOfOrder(state) && !isInUse(state);
const usableIds = (charger: ChargerHolds) =>
  charger.connectors.filter(({ state }) => isUsable(state)).map(({ connectorId }) => connectorId);
const soonestEnd = (holds: readonly Hold[]) => new Date(Math.min(...holds.map((hold) => hold.expiryDate.getTime())));
