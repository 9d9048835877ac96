// Handles a charger's report of the state of a connector, or (1.6, connectorId 0) of the charger itself.
import type { Clock } from '../common/clock.ts';
import type { OcppVersion } from '../model/charger/charger.ts';
import { MAX_CONNECTOR_ID, type StatusReport } from '../model/charger/connector.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import type { FollowConnectorState } from './follow-charger.ts';

export interface RecordStatusPorts {
  readonly chargers: ChargerRepository;
  readonly followConnectorState: FollowConnectorState;
  readonly announce: () => void;
  readonly clock: Clock;
}

/** Connector 0 has no row: its state is acted on, but not stored. */
export const recordStatus =
  ({ chargers, followConnectorState, announce, clock }: RecordStatusPorts) =>
  async (chargerId: string, version: OcppVersion, report: StatusReport): Promise<void> => {
    const { connectorId } = report;
    // Some chargers report connectors that no charger has.
    if (connectorId < 0 || connectorId > MAX_CONNECTOR_ID) return;
    const state = connectorId === 0 ? report.state : await chargers.recordStatus(chargerId, report, clock.now());
    if (state === undefined) return;
    announce();
    await followConnectorState(chargerId, version, connectorId, state);
  };
