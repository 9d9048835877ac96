// Ends a reservation as USED by the transaction that uses it, and records when a refused one breaches it.
import { doubtEach } from '../lifecycle/doubt.ts';
import { type LifecyclePorts, transition } from '../lifecycle/transition.ts';
import type { Presentation, Transaction } from '../model/charger/transaction.ts';
import { mayUse } from '../model/reservation/holder.ts';
import { matchUse } from '../model/reservation/match-use.ts';
import { isHolding, type Reservation } from '../model/reservation/reservation.ts';
import type { ChargingPorts } from './ports.ts';

/** Call it only for an authorized start: a refused one consumes nothing. */
export async function useReservation(
  ports: ChargingPorts,
  transaction: Transaction,
  presented: Presentation & { readonly parentIdTag?: string },
): Promise<void> {
  const { reservations, log } = ports;

  const { chargerId, id: transactionId } = transaction;
  const candidates = await reservations.matchable({ chargerId, id: transactionId, startedAt: presented.startedAt });
  const used = matchUse(candidates, presented);
  if (presented.reservationId !== undefined && used?.reservationId !== presented.reservationId) {
    log.info(
      { chargerId, label: presented.reservationId },
      'the reservationId of a transaction matches no reservation that it may use',
    );
  }
  if (!used) return;
  const { startedAt } = presented;
  const usedConnectorId = presented.connectorId ?? transaction.connectorId;
  const where = usedConnectorId === undefined ? {} : { usedConnectorId };
  // A charger that did not label the start with the reservation may still hold it: it need not know who belongs to a
  // group.
  const isReleaseOwed = used.enforcement === 'CHARGER' && presented.reservationId !== used.reservationId;
  await transition(ports, used, { type: 'used', startedAt, transactionId, ...where }, 'CHARGER', { isReleaseOwed });
}

/**
 * The owner of the transaction that runs on the connector when a booking begins. USED: the holder's, which now uses it;
 * HOLDER: the holder's, but it has used another reservation; SOMEBODY_ELSE: any other, or none that is known.
 */
export type WhoIsThere = 'USED' | 'HOLDER' | 'SOMEBODY_ELSE';

/** The ports of `useEarly`, common to chargers and the settler. */
export type EarlyUsePorts = Pick<ChargingPorts, 'transactions' | 'idTags' | keyof LifecyclePorts>;

/** When a booking begins, lets a transaction of its holder that is already running use it. */
export async function useEarly(ports: EarlyUsePorts, booking: Reservation): Promise<WhoIsThere> {
  const { transactions, idTags } = ports;

  const running = await transactions.running(booking.chargerId, booking.connectorId);
  if (running?.idTag === undefined) return 'SOMEBODY_ELSE';
  const { id: transactionId, idTag, startedAt, connectorId } = running;
  const parentIdTag = (await idTags.find(idTag))?.parentIdTag;
  if (!mayUse(booking, { idTag, parentIdTag })) return 'SOMEBODY_ELSE';
  if (running.hasUsed) return 'HOLDER';
  const where = connectorId === undefined ? {} : { usedConnectorId: connectorId };
  await transition(ports, booking, { type: 'used', startedAt, transactionId, ...where }, 'CHARGER');
  return 'USED';
}

/**
 * A refused start consumes nothing here, but some chargers then drop the hold of the connector, or the one named by the
 * start: those holds are marked as doubted.
 */
export function doubtHolds(
  ports: ChargingPorts,
  { chargerId, connectorId }: Transaction,
  reservationId: number | undefined,
): Promise<void> {
  return doubtEach(
    ports,
    chargerId,
    (hold) => hold.reservationId === reservationId || (hold.connectorId > 0 && hold.connectorId === connectorId),
  );
}

/** Records a breach: energy flows in a refused transaction at a held connector. */
export async function recordBreach(ports: ChargingPorts, transaction: Transaction): Promise<void> {
  const { reservations, log } = ports;

  const { chargerId, connectorId, idTag } = transaction;
  const candidates = await reservations.matchable(transaction);
  const breached = candidates.find(
    (one) => isHolding(one.status) && one.connectorId > 0 && one.connectorId === connectorId && !mayUse(one, { idTag }),
  );
  if (!breached || breached.isBreached) return;
  log.warn({ chargerId, connectorId, reservation: breached.id }, 'a held connector charges somebody else');
  await transition(ports, breached, { type: 'breached' }, 'CHARGER');
}
