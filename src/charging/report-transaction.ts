// Handles what a charger reports of its transactions: authorizes a start, uses the reservation that matches, and
// records a breach if a refused transaction charges.
import type { Clock } from '../common/clock.ts';
import type { Presentation } from '../model/charger/transaction.ts';
import type { Authorization } from '../model/reservation/authorize.ts';
import type { Report, TransactionRepository } from '../storage/chargers/transaction.repository.ts';
import type { AuthorizeIdTag } from './authorize-id-tag.ts';
import type { doubtHolds, recordBreach, useReservation } from './use-reservation.ts';

export interface TransactionPorts {
  readonly transactions: TransactionRepository;
  readonly authorizeIdTag: AuthorizeIdTag;
  readonly useReservation: ReturnType<typeof useReservation>;
  readonly recordBreach: ReturnType<typeof recordBreach>;
  readonly doubtHolds: ReturnType<typeof doubtHolds>;
  readonly clock: Clock;
}

export type StartedTransaction = Presentation & { readonly connectorId: number; readonly meterStart: number };

/**
 * 1.6 StartTransaction. The answer always needs a transactionId; an authorization other than ACCEPTED makes the charger
 * stop.
 */
export const startTransaction =
  (ports: TransactionPorts) =>
  async (chargerId: string, start: StartedTransaction): Promise<{ wireId: string; authorization: Authorization }> => {
    const { connectorId, idTag, meterStart } = start;
    // A charger whose clock is ahead reports a start in the future: it counts as now.
    const startedAt = new Date(Math.min(start.startedAt.getTime(), ports.clock.now().getTime()));
    const authorization = await ports.authorizeIdTag(chargerId, connectorId, idTag, startedAt);
    const isAccepted = authorization.status === 'ACCEPTED';
    const stored = { chargerId, connectorId, idTag, meterStart, startedAt: start.startedAt, isAccepted };
    const transaction = await ports.transactions.start(stored);
    if (isAccepted) await ports.useReservation(transaction, { ...start, startedAt, ...groupOf(authorization) });
    else await ports.doubtHolds(transaction, start.reservationId);
    return { wireId: transaction.wireId, authorization };
  };

export type TransactionReport = Omit<Report, 'isAccepted'> & {
  readonly reservationId?: number;
  /** Whether energy flows. */
  readonly isCharging: boolean;
  /** Whether the idTag was presented to stop the transaction. */
  readonly isStop: boolean;
};

/**
 * 2.x TransactionEvent. Returns an authorization if an idTag was presented. A start without an idTag is only a cable
 * plugged in, and uses no reservation.
 */
export const reportTransaction =
  (ports: TransactionPorts) =>
  async (report: TransactionReport): Promise<Authorization | undefined> => {
    const { chargerId, wireId, idTag, tokenType, reservationId } = report;
    if (idTag === undefined) {
      const transaction = await ports.transactions.report(report);
      if (transaction.isAccepted === false && report.isCharging) await ports.recordBreach(transaction);
      return undefined;
    }
    const startedAt = new Date(Math.min(report.at.getTime(), ports.clock.now().getTime()));
    const connectorId = report.connectorId ?? (await ports.transactions.byWireId(chargerId, wireId))?.connectorId;
    const authorization = await ports.authorizeIdTag(chargerId, connectorId ?? 0, idTag, startedAt);
    const isAccepted = authorization.status === 'ACCEPTED';
    const transaction = await ports.transactions.report({ ...report, isAccepted });
    if (!isAccepted) await ports.doubtHolds(transaction, reservationId);
    if (isAccepted && !report.isEnd && !report.isStop) {
      const presented = {
        ...{ idTag, startedAt },
        ...(connectorId !== undefined && { connectorId }),
        ...(tokenType !== undefined && { tokenType }),
        ...(reservationId !== undefined && { reservationId }),
      };
      await ports.useReservation(transaction, { ...presented, ...groupOf(authorization) });
    }
    return authorization;
  };

/** 1.6 MeterValues: energy in a refused transaction is a breach. */
export const recordEnergy =
  ({ transactions, recordBreach }: TransactionPorts) =>
  async (chargerId: string, wireId: string): Promise<void> => {
    const transaction = await transactions.byWireId(chargerId, wireId);
    if (transaction?.isAccepted === false) await recordBreach(transaction);
  };

/** 1.6 StopTransaction. */
export const stopTransaction =
  ({ transactions }: TransactionPorts) =>
  (chargerId: string, wireId: string, at: Date): Promise<void> =>
    transactions.stop(chargerId, wireId, at);

const groupOf = ({ parentIdTag }: Authorization) => (parentIdTag === undefined ? {} : { parentIdTag });
