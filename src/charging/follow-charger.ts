// Applies to reservations what a charger reports by itself: connector states that drop, prove or contradict a hold, and
// in OCPP 2.x updates about reservations that the charger ended. Available also activates waiting bookings.

import { addMs } from '../common/clock.ts';
import { transition } from '../lifecycle/transition.ts';
import type { OcppVersion } from '../model/charger/charger.ts';
import { type ConnectorState, isOutOfOrder } from '../model/charger/connector.ts';
import { isFirstAsked, isHolding, type ReservationUpdate, removalReason } from '../model/reservation/reservation.ts';
import { DEBOUNCE_MS, OUTLIVES_EXPIRY_MS } from '../model/reservation/timing.ts';
import type { ChargingPorts } from './ports.ts';

/**
 * OCPP 1.6 has no message for a dropped reservation: Faulted and Unavailable end it (connectorId 0: all of them). A 2.x
 * charger reports the drop itself; in case that message is lost, the hold is verified after a pause. Reserved, in every
 * version, proves an acceptance whose answer was lost, or reveals a hold that has ended here. Available inside a hold
 * does not end it by itself.
 */
export async function followConnectorState(
  ports: ChargingPorts,
  chargerId: string,
  version: OcppVersion,
  connectorId: number,
  state: ConnectorState,
): Promise<void> {
  const { reservations, clock } = ports;
  const heldByCharger = async () =>
    (await reservations.held([chargerId], clock.now())).filter((one) => one.enforcement === 'CHARGER');
  const isBroken = isOutOfOrder(state);
  if (isBroken && version === '1.6') {
    const dropped = (await heldByCharger()).filter((one) => connectorId === 0 || one.connectorId === connectorId);
    for (const one of dropped)
      await transition(ports, one, { type: 'removed', reason: removalReason(state) }, 'CHARGER');
  } else if (connectorId === 0) {
    // connectorId 0 is the charger as a whole: its state affects holds only if 1.6 reports it out of order (above).
  } else if (state === 'RESERVED') {
    const live = await heldByCharger();
    const here = live.filter((one) => one.connectorId === connectorId);
    const unknown = here.find((one) => one.status === 'UNKNOWN' && isFirstAsked(one));
    if (unknown) await transition(ports, unknown, { type: 'accepted' }, 'CHARGER');
    const isExplained = here.length > 0 || live.some((one) => one.connectorId === 0);
    if (!isExplained) await releaseGhosts(ports, chargerId, connectorId);
  } else if (isBroken || state === 'AVAILABLE') {
    // In 2.x, Available may mean that the idTag was presented: verify-hold.ts does not ask because of it alone.
    await verifyLater(ports, chargerId, connectorId);
    if (state === 'AVAILABLE' && (await reservations.activateOn(chargerId, connectorId, clock.now()))) {
      ports.wakeSettler(clock.now());
    }
  }
}

/** Real connectors flicker: the hold is verified after a pause, which doubles with each earlier attempt. */
async function verifyLater(ports: ChargingPorts, chargerId: string, connectorId: number): Promise<void> {
  const { reservations, wakeSettler, clock } = ports;
  const now = clock.now();
  const dueAt = await reservations.verifyLater(chargerId, connectorId, now, DEBOUNCE_MS);
  if (dueAt) wakeSettler(dueAt);
}

/** Makes a CancelReservation due for reservations that have ended here while the charger still reports Reserved. */
async function releaseGhosts(ports: ChargingPorts, chargerId: string, connectorId: number): Promise<void> {
  const { reservations, wakeSettler, clock, log } = ports;
  const now = clock.now();
  const owed = await reservations.oweReleasesOn(chargerId, connectorId, addMs(now, -OUTLIVES_EXPIRY_MS), now);
  if (owed.length === 0) return;
  log.warn(
    { chargerId, connectorId, reservations: owed },
    'a charger reports Reserved without a live reservation: its ended ones will be cancelled there',
  );
  wakeSettler(now);
}

/**
 * Records an OCPP 2.x ReservationStatusUpdate. An unknown reservation is logged; an ended one is annotated and keeps
 * its first end.
 */
export async function recordReservationUpdate(
  ports: ChargingPorts,
  chargerId: string,
  reservationId: number,
  update: ReservationUpdate,
): Promise<void> {
  const { reservations, chargers, log } = ports;

  const reservation = await reservations.byWireId(chargerId, reservationId);
  if (!reservation) {
    log.info({ chargerId, reservationId, update }, 'a charger reported on a reservation that is not known here');
    return;
  }
  if (!isHolding(reservation.status)) {
    await reservations.annotate(reservation.id, update);
    return;
  }
  if (update === 'EXPIRED') {
    await transition(ports, reservation, { type: 'expired' }, 'CHARGER');
    return;
  }
  const { state } = await chargers.lastReport(chargerId, reservation.connectorId);
  const reason = update === 'NO_TRANSACTION' ? update : removalReason(state);
  await transition(ports, reservation, { type: 'removed', reason }, 'CHARGER');
}
