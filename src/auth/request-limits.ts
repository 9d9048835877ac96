// Rate limits for one address and for one caller: by number of requests, and by their cost. Each process counts for
// itself.
import { networkOf } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimits } from '../common/rate-limit.ts';
import type { Caller } from '../model/access/caller.ts';
import { RateLimited } from './authenticate.ts';

export interface RequestRates {
  /** Requests per second in the long run; a burst may be ten seconds' worth. */
  readonly perAddress: number;
  readonly perDriver: number;
  /** The limit of operators and admins, who act for many drivers. An API key has the limit of its role. */
  readonly perOperator: number;
}

/** The cost of an operation, and the rest of the caller's budget, in cost units. */
export interface Budget {
  readonly requested: number;
  readonly remaining: number;
  readonly limit: number;
}

const BURST_SECONDS = 10;
/** Cost units that each request of the rate adds to the budget. */
const COST_OF_A_REQUEST = 500;
/** The smallest burst: with less, the most expensive operations that are allowed could never run. */
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

  /** Counts a request of the address. Returns 0 if it is admitted, otherwise the milliseconds to wait. */
  waitOf(address: string): number {
    const now = this.clock.now();
    const waitMs = this.#addresses.of(networkOf(address), now).tryTake(now, 1);
    if (waitMs > 0) this.metrics.refusedRequests.inc({ limit: 'address' });
    return waitMs;
  }

  /**
   * Counts a request of the caller. Throws RateLimited if the rate is exceeded, or while the caller is in debt from
   * `charge`.
   */
  countBy({ role, subject }: Caller): void {
    const now = this.clock.now();
    const { requests, costs } = this.#callers[role];
    const waitMs = requests.of(subject, now).tryTake(now, 1);
    if (waitMs > 0) this.#refuse('caller', 'You send too many requests; wait.', waitMs);
    const debtMs = costs.of(subject, now).waitMs(now);
    if (debtMs > 0) this.#refuse('cost', 'Your invalid operations have used up your budget; wait.', debtMs);
  }

  /** Takes the cost of an operation from the budget. Throws RateLimited if less than that is left. */
  spend({ role, subject }: Caller, cost: number): Budget {
    const now = this.clock.now();
    const { costs } = this.#callers[role];
    const left = costs.of(subject, now);
    const waitMs = left.tryTake(now, cost);
    if (waitMs > 0)
      this.#refuse('cost', `This operation costs ${cost}, and your budget has ${left.left(now)} left; wait.`, waitMs);
    return { requested: cost, remaining: left.left(now), limit: costs.rate.burst };
  }

  /**
   * Takes the cost of an invalid operation from the budget, into debt if need be: `countBy` refuses the caller until
   * the debt is paid off.
   */
  charge({ role, subject }: Caller, cost: number): void {
    const now = this.clock.now();
    this.#callers[role].costs.of(subject, now).take(now, cost);
  }

  #refuse(limit: string, message: string, waitMs: number): never {
    this.metrics.refusedRequests.inc({ limit });
    throw new RateLimited(message, waitMs);
  }
}
