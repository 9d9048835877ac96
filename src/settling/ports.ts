// The ports of the settler: the use cases that it finishes, and which charger is at which node.
import type { Metrics } from '../common/metrics.ts';
import type { ReservingPorts } from '../reserving/ports.ts';
import type { IdTagRepository } from '../storage/chargers/id-tag.repository.ts';
import type { TransactionRepository } from '../storage/chargers/transaction.repository.ts';

export interface SettlingPorts extends ReservingPorts {
  readonly transactions: TransactionRepository;
  readonly idTags: IdTagRepository;
  readonly metrics: Metrics;
  readonly nodeId: () => number;
  /**
   * `Gateway.drainedAt`: when the offline queue of a charger that came back counts as drained; in the past once it is.
   * Also in the past if the charger is not connected to this node.
   */
  readonly drainedAt: (chargerId: string) => Date;
}
