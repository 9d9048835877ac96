// May this idTag start here, now? Pure: the idTag, the connectors and the holds of one charger give the decision,
// which the API shows as it is and the wire translates. It never tells whose the hold is.
import { type ConnectorState, isInUse, isOutOfOrder } from '../charger/connector.ts';
import { type IdTag, type IdTagStatus, sameId, statusOf } from '../charger/id-tag.ts';
import type { IntruderStatus } from '../site/policy.ts';

/** As much of a reservation as a decision needs. */
export interface Hold {
  readonly connectorId: number;
  /** Absent: held for the group alone. */
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
}

export interface ChargerHolds {
  readonly connectors: readonly { readonly connectorId: number; readonly state: ConnectorState }[];
  readonly holds: readonly Hold[];
}

export type Authorization = {
  readonly parentIdTag?: string;
  /** The connectors this idTag may use; absent where nothing is held for others. */
  readonly openConnectors?: readonly number[];
} & (
  | { readonly status: IdTagStatus }
  | {
      readonly status: 'RESERVED';
      readonly reservedUntil: Date;
      /** What the charger is told, where the site's policy says so. */
      readonly toldAs?: IntruderStatus;
    }
);

/** `connectorId` 0 asks about the charger as a whole: RESERVED only when every connector in order is held for others. */
export function authorize(
  idTag: IdTag | undefined,
  connectorId: number,
  charger: ChargerHolds,
  now: Date,
): Authorization {
  const parent = idTag?.parentIdTag === undefined ? {} : { parentIdTag: idTag.parentIdTag };
  const status = statusOf(idTag, now);
  if (status !== 'ACCEPTED' || idTag === undefined) return { status, ...parent };

  const holds = charger.holds.filter((hold) => hold.expiryDate > now);
  const others = holds.filter((hold) => !isHeldFor(hold, idTag));
  if (others.length === 0) return { status, ...parent };

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

function openTo(idTag: IdTag, asked: number, charger: ChargerHolds, holds: readonly Hold[]): number[] {
  const inOrder = charger.connectors.filter(({ connectorId, state }) => connectorId === asked || !isOutOfOrder(state));
  // Who asks for the whole charger may be stopping a session there; who asks for a connector stands before it.
  const usable = asked === 0 ? inOrder : inOrder.filter((one) => one.connectorId === asked || !isInUse(one.state));
  const ids = usable.map(({ connectorId }) => connectorId);
  const candidates = asked === 0 || ids.includes(asked) ? ids : [...ids, asked];
  const holdOf = (connectorId: number) => holds.find((hold) => hold.connectorId === connectorId);
  const own = candidates.filter((id) => {
    const hold = holdOf(id);
    return hold !== undefined && isHeldFor(hold, idTag);
  });
  const free = candidates.filter((id) => holdOf(id) === undefined);
  const anywhere = holds.filter((hold) => hold.connectorId === 0);
  // One connector must stay available for each hold that names none, unless such a hold is the asker's own.
  const isFreeEnough = anywhere.some((hold) => isHeldFor(hold, idTag)) || free.length > anywhere.length;
  return (isFreeEnough ? [...own, ...free] : own).toSorted((a, b) => a - b);
}

const soonestEnd = (holds: readonly Hold[]) => new Date(Math.min(...holds.map((hold) => hold.expiryDate.getTime())));
