// Decides whether an idTag may start here now. Pure: from the idTag, the connectors and the holds of one charger. The
// API shows the decision as it is, ocpp/ translates it. The decision never reveals who holds the connector.
import { type ConnectorState, isInUse, isOutOfOrder } from '../charger/connector.ts';
import { type IdTag, type IdTagStatus, statusOf } from '../charger/id-tag.ts';
import type { IntruderStatus } from '../site/policy.ts';
import { mayUse, type Presented } from './holder.ts';

/** The part of a reservation that a decision needs. */
export interface ActiveHold {
  readonly connectorId: number;
  /** Absent: the hold is for the group alone. */
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
}

export interface ChargerHolds {
  readonly connectors: readonly { readonly connectorId: number; readonly state: ConnectorState }[];
  readonly holds: readonly ActiveHold[];
}

export type Authorization = {
  readonly parentIdTag?: string;
  /**
   * The connectors that this idTag may use; absent if nothing is held for others, or if the idTag itself is refused.
   */
  readonly openConnectors?: readonly number[];
} & (
  | { readonly status: IdTagStatus }
  | {
      readonly status: 'RESERVED';
      readonly reservedUntil: Date;
      /** The status that the charger receives instead of RESERVED, if the site's policy sets one. */
      readonly toldAs?: IntruderStatus;
    }
);

/**
 * `connectorId` 0 asks about the charger as a whole: RESERVED only if no connector in working order is open to the
 * idTag.
 */
export function authorize(
  idTag: IdTag | undefined,
  connectorId: number,
  charger: ChargerHolds,
  now: Date,
): Authorization {
  const parent = idTag?.parentIdTag === undefined ? {} : { parentIdTag: idTag.parentIdTag };
  const status = statusOf(idTag, now);
  if (status !== 'ACCEPTED' || idTag === undefined) return { status, ...parent };

  const { idTag: presented, parentIdTag } = idTag;
  const holder = { idTag: presented, parentIdTag };
  const holds = charger.holds.filter((hold) => hold.expiryDate > now);
  const others = holds.filter((hold) => !mayUse(hold, holder));
  if (others.length === 0) return { status, ...parent };

  const openConnectors = openTo(holder, connectorId, charger, holds);
  const isOpen = connectorId === 0 ? openConnectors.length > 0 : openConnectors.includes(connectorId);
  if (isOpen) return { status, ...parent, openConnectors };
  const specific = others.find((hold) => connectorId !== 0 && hold.connectorId === connectorId);
  const reservedUntil = specific?.expiryDate ?? soonestEnd(others);
  return { status: 'RESERVED', reservedUntil, ...parent, openConnectors };
}

function openTo(holder: Presented, asked: number, charger: ChargerHolds, holds: readonly ActiveHold[]): number[] {
  const inOrder = charger.connectors.filter(({ connectorId, state }) => connectorId === asked || !isOutOfOrder(state));
  // A request for the whole charger may come to stop a transaction, so its connectors in use count; a request for one
  // connector comes from a driver in front of it, so other connectors in use do not.
  const usable = asked === 0 ? inOrder : inOrder.filter((one) => one.connectorId === asked || !isInUse(one.state));
  const ids = usable.map(({ connectorId }) => connectorId);
  const candidates = asked === 0 || ids.includes(asked) ? ids : [...ids, asked];
  const holdOf = (connectorId: number) => holds.find((hold) => hold.connectorId === connectorId);
  const own = candidates.filter((id) => {
    const hold = holdOf(id);
    return hold !== undefined && mayUse(hold, holder);
  });
  const free = candidates.filter((id) => holdOf(id) === undefined);
  const anywhere = holds.filter((hold) => hold.connectorId === 0);
  // One connector must stay free for each hold that names none, unless such a hold is this idTag's own.
  const isFreeEnough = anywhere.some((hold) => mayUse(hold, holder)) || free.length > anywhere.length;
  return (isFreeEnough ? [...own, ...free] : own).toSorted((a, b) => a - b);
}

const soonestEnd = (holds: readonly ActiveHold[]) =>
  new Date(Math.min(...holds.map((hold) => hold.expiryDate.getTime())));
