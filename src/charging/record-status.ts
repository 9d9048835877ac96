// Handles a charger's report of the state of a connector, or (1.6, connectorId 0) of the charger itself.
import type { OcppVersion } from '../model/charger/charger.ts';
import { MAX_CONNECTOR_ID, type StatusReport } from '../model/charger/connector.ts';
import { followConnectorState } from './follow-charger.ts';
import type { ChargingPorts } from './ports.ts';

/** Connector 0 has no row: its state is acted on, but not stored. */
export async function recordStatus(
  ports: ChargingPorts,
  chargerId: string,
  version: OcppVersion,
  report: StatusReport,
): Promise<void> {
  const { chargers, announce, clock } = ports;

  const { connectorId } = report;
  // Some chargers report connector ids outside the valid range; such a report is ignored.
  if (connectorId < 0 || connectorId > MAX_CONNECTOR_ID) return;
  const state = connectorId === 0 ? report.state : await chargers.recordStatus(chargerId, report, clock.now());
  if (state === undefined) return;
  announce();
  await followConnectorState(ports, chargerId, version, connectorId, state);
}
