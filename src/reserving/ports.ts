// The ports of callers' use cases: the repositories, the chargers, and the policy.
import type { Background } from '../common/background.ts';
import type { Feed } from '../event-log/feed.ts';
import type { LifecyclePorts } from '../lifecycle/transition.ts';
import type { ChargerCalls } from '../model/charger/charger-calls.ts';
import type { HoldRepository } from '../storage/reservations/hold.repository.ts';
import type { OccupancyRepository } from '../storage/reservations/occupancy.repository.ts';
import type { UsageRepository } from '../storage/reservations/usage.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';

export interface ReservingPorts extends LifecyclePorts {
  readonly holds: HoldRepository;
  readonly occupancy: OccupancyRepository;
  readonly usage: UsageRepository;
  readonly policies: KnownPolicies;
  readonly calls: ChargerCalls;
  readonly feed: Feed;
  readonly background: Background;
  /** How long a charger may take to answer a Call. */
  readonly answerTimeoutMs: number;
}
