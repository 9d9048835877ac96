// How much one address and one caller may ask for: requests, and what they cost. Counted in this process alone.
import { networkOf } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimits } from '../common/rate-limit.ts';
import type { Caller } from '../model/access/caller.ts';
import { RateLimited } from './authenticate.ts';

export interface RequestRates {
  /** Requests a second in the long run; ten seconds' worth may come at once. */
  readonly perAddress: number;
  readonly perDriver: number;
  /** Of operators, admins and machine clients, which act for many. */
  readonly perOperator: number;
}

/** What is left of a caller's budget, in the units that operations cost. */
export interface Budget {
  readonly requested: number;
  readonly remaining: number;
  readonly limit: number;
}

const BURST_SECONDS = 10;
/** The cost that goes with each request of the rate. */
const COST_OF_A_REQUEST = 500;
/** So small a budget that not every operation fits would refuse some for ever. */
const MIN_BUDGET = 50_000;

const rate = (perSecond: number) => ({ perSecond, burst: perSecond * BURST_SECONDS });
const budget = (perSecond: number) => ({
  perSecond: perSecond * COST_OF_A_REQUEST,
  burst: Math.max(MIN_BUDGET, perSecond * COST_OF_A_REQUEST * BURST_SECONDS),
});

export class RequestLimits {
  readonly #addresses: RateLimits;
  readonly #callers: Record<Caller['role'], { readonly requests: RateLimits; readonly costs: RateLimits }>;

  constructor(
    { perAddress, perDriver, perOperator }: RequestRates,
    private readonly clock: Clock,
    private readonly metrics: Metrics,
  ) {
    this.#addresses = new RateLimits(rate(perAddress));
    const of = (perSecond: number) => ({
      requests: new RateLimits(rate(perSecond)),
      costs: new RateLimits(budget(perSecond)),
    });
    const many = of(perOperator);
    this.#callers = { DRIVER: of(perDriver), OPERATOR: many, ADMIN: many };
  }

  /** Counts a request of the address; the milliseconds until it may ask again, 0 where it may now. */
  waitOf(address: string): number {
    const now = this.clock.now();
    const waitMs = this.#addresses.of(networkOf(address), now).tryTake(now, 1);
    if (waitMs > 0) this.metrics.refusedRequests.inc({ limit: 'address' });
    return waitMs;
  }

  /** Counts a request of the caller. Throws RateLimited, also where what it was charged for before is not made good yet. */
  countBy({ role, subject }: Caller): void {
    const now = this.clock.now();
    const { requests, costs } = this.#callers[role];
    const waitMs = requests.of(subject, now).tryTake(now, 1);
    if (waitMs > 0) this.#refuse('caller', 'You ask too often; wait.', waitMs);
    const debtMs = costs.of(subject, now).waitMs(now);
    if (debtMs > 0)
      this.#refuse('cost', 'What you asked for and could not be run has used up your budget; wait.', debtMs);
  }

  /** Throws RateLimited where the operation costs more than is left. */
  spend({ role, subject }: Caller, cost: number): Budget {
    const now = this.clock.now();
    const { costs } = this.#callers[role];
    const left = costs.of(subject, now);
    const waitMs = left.tryTake(now, cost);
    if (waitMs > 0) this.#refuse('cost', `This costs ${cost}, and you have ${left.left(now)} left; wait.`, waitMs);
    return { requested: cost, remaining: left.left(now), limit: costs.rate.burst };
  }

  /** Takes what an operation has cost that was found wrong: whoever has less left than that waits before the next. */
  charge({ role, subject }: Caller, cost: number): void {
    const now = this.clock.now();
    this.#callers[role].costs.of(subject, now).take(now, cost);
  }

  #refuse(limit: string, message: string, waitMs: number): never {
    this.metrics.refusedRequests.inc({ limit });
    throw new RateLimited(message, waitMs);
  }
}
