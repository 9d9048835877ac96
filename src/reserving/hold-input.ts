// The input of reserveNow and scheduleReservation. Checks it before anything is read, and whether the caller may use
// the idTag.
import { addMs, MINUTE_MS } from '../common/clock.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayUseGroup, mayUseIdTag } from '../model/access/rights.ts';
import { checkIdentifier, type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import type { IdTagRefusal } from '../model/reservation/admission.ts';

export interface HoldInput {
  /** Exactly one of chargerId and siteId. */
  readonly chargerId?: string;
  readonly siteId?: string;
  readonly connectorId: number;
  readonly plugType?: string;
  /** Absent for a reservation of a group alone. */
  readonly idTag?: string;
  readonly parentIdTag?: string;
  readonly expiryDate?: Date;
  readonly durationMinutes?: number;
  readonly reservationId?: number;
  readonly idempotencyKey?: string;
  readonly preempt?: boolean;
}

const MAX_INT32 = 2_147_483_647;

export const isWithin = (value: number | undefined, min: number, max: number) =>
  value === undefined || (Number.isInteger(value) && value >= min && value <= max);

/** `startsAt` is now, or when the booking begins. */
export function checkHoldInput(input: HoldInput, startsAt: Date): InputRefusal | undefined {
  const { chargerId, siteId, connectorId, idTag, parentIdTag, expiryDate, durationMinutes } = input;
  if ((chargerId === undefined) === (siteId === undefined)) {
    return invalidInput('chargerId', 'Give either chargerId, or siteId for any free connector of the site.');
  }
  const wrongPlace = checkIdentifier('chargerId', chargerId) ?? checkIdentifier('siteId', siteId);
  if (wrongPlace) return wrongPlace;
  if (siteId !== undefined && input.preempt)
    return invalidInput('preempt', 'Pre-emption works on one charger: give its chargerId instead of siteId.');
  if (!isWithin(connectorId, 0, 65_535))
    return invalidInput('connectorId', 'It must be from 0 (the charger chooses) to 65535.');
  if (siteId !== undefined && connectorId > 0)
    return invalidInput('connectorId', 'A connector belongs to a charger: give its chargerId.');
  if (siteId !== undefined && input.reservationId !== undefined)
    return invalidInput('reservationId', 'It belongs to a charger: give its chargerId.');
  const wrongPlug = checkIdentifier('plugType', input.plugType);
  if (wrongPlug) return wrongPlug;
  if (input.plugType !== undefined && connectorId > 0)
    return invalidInput('plugType', 'Give connectorId or plugType, not both.');
  if (idTag === undefined && parentIdTag === undefined)
    return invalidInput('idTag', 'Give an idTag, or a parentIdTag to reserve for the group alone.');
  const wrongHolder = checkIdentifier('idTag', idTag) ?? checkIdentifier('parentIdTag', parentIdTag);
  if (wrongHolder) return wrongHolder;
  if (expiryDate && durationMinutes !== undefined) {
    return invalidInput('durationMinutes', 'Give expiryDate or durationMinutes, not both.');
  }
  if (!isWithin(durationMinutes, 1, 525_600)) return invalidInput('durationMinutes', 'It must be from 1 to 525600.');
  if (expiryDate && expiryDate <= startsAt) {
    return invalidInput('expiryDate', `It must be later than the start, which is ${startsAt.toISOString()}.`);
  }
  if (!isStorable(expiryDate ?? addMs(startsAt, (durationMinutes ?? 0) * MINUTE_MS)))
    return invalidInput(
      expiryDate ? 'expiryDate' : 'durationMinutes',
      'The reservation must end before the year 10000.',
    );
  if (!isWithin(input.reservationId, 1, MAX_INT32))
    return invalidInput('reservationId', `It must be from 1 to ${MAX_INT32}.`);
  return checkIdentifier('idempotencyKey', input.idempotencyKey);
}

/** OCPP's dates end with the year 9999, while PostgreSQL and JavaScript accept later ones. */
export const isStorable = (at: Date): boolean => at.getTime() < Date.UTC(10_000, 0);

/** Refuses a caller who may not use the idTag or, for a reservation of a group alone, the group. */
export function checkHolder(caller: Caller, { idTag, parentIdTag }: HoldInput): IdTagRefusal | undefined {
  if (idTag !== undefined) {
    if (mayUseIdTag(caller, idTag)) return undefined;
    return { code: 'NOT_YOUR_ID_TAG', message: `The idTag "${idTag}" is not one of yours.`, idTag };
  }
  if (mayUseGroup(caller, parentIdTag ?? '')) return undefined;
  const message = `The group "${parentIdTag}" is not one of yours.`;
  return { code: 'NOT_YOUR_ID_TAG', message, idTag: parentIdTag ?? '' };
}
