// Handles a charger's reports of its transactions: authorizes a start, uses the reservation that matches, and
// records a breach if a refused transaction charges.
import type { Presentation } from '../model/charger/transaction.ts';
import type { Authorization } from '../model/reservation/authorize.ts';
import type { Report } from '../storage/chargers/transaction.repository.ts';
import { authorizeIdTag } from './authorize-id-tag.ts';
import type { ChargingPorts } from './ports.ts';
import { doubtHolds, recordBreach, useReservation } from './use-reservation.ts';

export type StartedTransaction = Presentation & { readonly connectorId: number; readonly meterStart: number };

/**
 * 1.6 StartTransaction. The answer always needs a transactionId; an authorization other than ACCEPTED makes the charger
 * stop.
 */
export async function startTransaction(
  ports: ChargingPorts,
  chargerId: string,
  start: StartedTransaction,
): Promise<{ wireId: string; authorization: Authorization }> {
  const { connectorId, idTag, meterStart } = start;
  // A charger whose clock is ahead reports a start in the future: it counts as now.
  const startedAt = new Date(Math.min(start.startedAt.getTime(), ports.clock.now().getTime()));
  const authorization = await authorizeIdTag(ports, chargerId, connectorId, idTag, startedAt);
  const isAccepted = authorization.status === 'ACCEPTED';
  const stored = { chargerId, connectorId, idTag, meterStart, startedAt: start.startedAt, isAccepted };
  const transaction = await ports.transactions.start(stored);
  if (isAccepted) await useReservation(ports, transaction, { ...start, startedAt, ...groupOf(authorization) });
  else await doubtHolds(ports, transaction, start.reservationId);
  return { wireId: transaction.wireId, authorization };
}

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
export async function reportTransaction(
  ports: ChargingPorts,
  report: TransactionReport,
): Promise<Authorization | undefined> {
  const { chargerId, wireId, idTag, tokenType, reservationId } = report;
  if (idTag === undefined) {
    const transaction = await ports.transactions.report(report);
    if (transaction.isAccepted === false && report.isCharging) await recordBreach(ports, transaction);
    return undefined;
  }
  const startedAt = new Date(Math.min(report.at.getTime(), ports.clock.now().getTime()));
  const connectorId = report.connectorId ?? (await ports.transactions.byWireId(chargerId, wireId))?.connectorId;
  const authorization = await authorizeIdTag(ports, chargerId, connectorId ?? 0, idTag, startedAt);
  const isAccepted = authorization.status === 'ACCEPTED';
  const transaction = await ports.transactions.report({ ...report, isAccepted });
  if (!isAccepted) await doubtHolds(ports, transaction, reservationId);
  if (isAccepted && !report.isEnd && !report.isStop) {
    const presented = {
      idTag,
      startedAt,
      ...(connectorId !== undefined && { connectorId }),
      ...(tokenType !== undefined && { tokenType }),
      ...(reservationId !== undefined && { reservationId }),
    };
    await useReservation(ports, transaction, { ...presented, ...groupOf(authorization) });
  }
  return authorization;
}

/** 1.6 MeterValues: energy in a refused transaction is a breach. */
export async function recordEnergy(ports: ChargingPorts, chargerId: string, wireId: string): Promise<void> {
  const { transactions } = ports;

  const transaction = await transactions.byWireId(chargerId, wireId);
  if (transaction?.isAccepted === false) await recordBreach(ports, transaction);
}

/** 1.6 StopTransaction. */
export function stopTransaction(ports: ChargingPorts, chargerId: string, wireId: string, at: Date): Promise<void> {
  const { transactions } = ports;

  return transactions.stop(chargerId, wireId, at);
}

const groupOf = ({ parentIdTag }: Authorization) => (parentIdTag === undefined ? {} : { parentIdTag });
