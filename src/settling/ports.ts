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
   * `Gateway.drainedAt`: when a charger that came back counts as having sent what it kept while offline; in the past
   * once it has.
   */
  readonly drainedAt: (chargerId: string) => Date;
}
