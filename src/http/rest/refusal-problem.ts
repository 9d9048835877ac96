// A refusal of a use case -> problem details. One table says which status each code has.
import type { Refusal } from '../../common/refusal.ts';
import type { Reservation } from '../../reservation/reservation.ts';
import { reservationBody } from '../../reservation/reservation-body.ts';
import { type Problem, ProblemError } from '../problem.ts';

const statuses: Record<string, number> = {
  INVALID_INPUT: 400,
  FORBIDDEN: 403,
  NOT_YOUR_ID_TAG: 403,
  SITE_NOT_FOUND: 404,
  CHARGER_NOT_FOUND: 404,
  CONNECTOR_NOT_FOUND: 404,
  RESERVATION_NOT_FOUND: 404,
  RESERVED: 409,
  CONNECTOR_NOT_FREE: 409,
  NO_CONNECTOR_FREE: 409,
  RESERVATION_ID_IN_USE: 409,
  ALREADY_ENDED: 409,
  ALREADY_USED: 409,
  NOT_SETTLED: 409,
  POLICY: 422,
  ID_TAG_INVALID: 422,
  ID_TAG_BLOCKED: 422,
  ID_TAG_EXPIRED: 422,
  ID_TAG_TOO_LONG: 422,
  NOT_SUPPORTED: 422,
  CONNECTOR_ZERO_NOT_SUPPORTED: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  CHARGER_REFUSED: 502,
  CHARGER_OFFLINE: 503,
};

export function refusalProblem(refusal: Refusal & { readonly reservation?: Reservation }): Problem {
  const { code, message, reservation, ...facts } = refusal;
  const status = statuses[code];
  if (status === undefined) throw new Error(`No status for the refusal ${code}`);
  return { status, code, detail: message, ...facts, ...(reservation && { reservation: reservationBody(reservation) }) };
}

/** The charger has not answered: what becomes of it is told by events, and by asking again. */
export const unanswered = (reservation: Reservation): ProblemError =>
  new ProblemError({
    status: 504,
    code: 'NO_ANSWER',
    detail: `The charger has not answered; the reservation is ${reservation.status}, and may still change. Ask for it, or watch its events.`,
    headers: { location: `/reservations/${reservation.id}` },
    reservation: reservationBody(reservation),
  });
