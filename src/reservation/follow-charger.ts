// What the charger itself does to reservations: it drops them when a connector breaks, it says that it holds them, and
// in OCPP 2.x it tells that it ended them.

import type { ChargerRepository } from '../charger/charger.repository.ts';
import type { OcppVersion } from '../charger/charger.ts';
import { type ConnectorState, isOutOfOrder } from '../charger/connector.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { ReservationRepository } from './reservation.repository.ts';
import type { RemovalReason } from './reservation.ts';
import type { Transition } from './transition.ts';

export interface FollowPorts {
  readonly reservations: ReservationRepository;
  readonly chargers: ChargerRepository;
  readonly transition: Transition;
  readonly clock: Clock;
  readonly log: Log;
}

export type FollowConnectorState = (
  chargerId: string,
  version: OcppVersion,
  connectorId: number,
  state: ConnectorState,
) => Promise<void>;

/**
 * OCPP 1.6 has no message for a dropped reservation: Faulted and Unavailable end it (connectorId 0: all of them).
 * In 2.x the charger says so itself. Reserved, in every version, proves an acceptance whose answer was lost.
 */
export const followConnectorState =
  ({ reservations, transition, clock }: FollowPorts): FollowConnectorState =>
  async (chargerId, version, connectorId, state) => {
    const isDropped = version === '1.6' && isOutOfOrder(state);
    if (!isDropped && state !== 'RESERVED') return;
    const live = await reservations.live([chargerId], clock.now());
    if (isDropped) {
      const reason = removalReason(state);
      const dropped = live.filter((one) => connectorId === 0 || one.connectorId === connectorId);
      for (const reservation of dropped) await transition(reservation, { type: 'removed', reason }, 'CHARGER');
      return;
    }
    const unknown = live.find((one) => one.status === 'UNKNOWN' && connectorId > 0 && one.connectorId === connectorId);
    if (unknown) await transition(unknown, { type: 'accepted' }, 'CHARGER');
  };

export type ReservationUpdate = 'EXPIRED' | 'REMOVED' | 'NO_TRANSACTION';

/** OCPP 2.x ReservationStatusUpdate. For an unknown or ended reservation it changes nothing. */
export const recordReservationUpdate =
  ({ reservations, chargers, transition, log }: FollowPorts) =>
  async (chargerId: string, reservationId: number, update: ReservationUpdate): Promise<void> => {
    const reservation = await reservations.byWireId(chargerId, reservationId);
    if (!reservation) {
      log.info({ chargerId, reservationId, update }, 'a charger tells of a reservation that is not known here');
      return;
    }
    if (update === 'EXPIRED') {
      await transition(reservation, { type: 'expired' }, 'CHARGER');
      return;
    }
    const connectors = await chargers.connectors([chargerId]);
    const state = connectors.find((one) => one.connectorId === reservation.connectorId)?.state ?? 'UNKNOWN';
    const reason = update === 'NO_TRANSACTION' ? update : removalReason(state);
    await transition(reservation, { type: 'removed', reason }, 'CHARGER');
  };

const removalReason = (state: ConnectorState): RemovalReason =>
  state === 'FAULTED' ? 'CHARGER_FAULTED' : state === 'UNAVAILABLE' ? 'CHARGER_UNAVAILABLE' : 'CHARGER_LOST';
