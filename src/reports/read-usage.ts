// Reports how a site's reservations were used (reservationUsage in GraphQL), to admins and operators of the site.
import { MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import { invalidInput } from '../model/refusals/input.ts';
import { siteNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import type { Usage, UsageBucket, UsageRepository } from '../storage/reservations/usage.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';

export interface UsageInput {
  readonly siteId: string;
  readonly from: Date;
  readonly to: Date;
  readonly bucket: UsageBucket;
}

const HOUR_MS = 60 * MINUTE_MS;
const bucketMs: Record<UsageBucket, number> = {
  HOUR: HOUR_MS,
  DAY: 24 * HOUR_MS,
  WEEK: 7 * 24 * HOUR_MS,
  MONTH: 28 * 24 * HOUR_MS,
};
const MAX_BUCKETS = 1000;

export interface ReportPorts {
  readonly usage: UsageRepository;
  readonly policies: KnownPolicies;
}

export async function readUsage(
  ports: ReportPorts,
  caller: Caller,
  { siteId, from, to, bucket }: UsageInput,
): Promise<Usage | Refusal> {
  const { usage, policies } = ports;

  if (!mayAdministerSite(caller, siteId))
    return { code: 'FORBIDDEN', message: 'Only admins and the operators of the site may see how it is used.' };
  if (to <= from) return invalidInput('to', 'It must be later than from.');
  if ((to.getTime() - from.getTime()) / bucketMs[bucket] > MAX_BUCKETS)
    return invalidInput('bucket', `That is more than ${MAX_BUCKETS} buckets; choose larger ones, or a shorter time.`);
  const known = await policies.ofSite(siteId);
  if (!known) return siteNotFound(siteId);
  return usage.usage({ siteId, from, until: to, bucket, timeZone: known.timeZone });
}
