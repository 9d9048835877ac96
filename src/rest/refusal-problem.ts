// A refusal of a use case as problem details (RFC 9457).
import { type Problem, ProblemError } from '../http/problem.ts';
import { type Refusal, refusals } from '../model/refusals/refusal.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import { reservationBody } from '../model/reservation/reservation-body.ts';

export function refusalProblem(refusal: Refusal & { readonly reservation?: Reservation }): Problem {
  const { code, message, reservation, ...facts } = refusal;
  return {
    status: refusals[code].status,
    code,
    detail: message,
    ...facts,
    ...(reservation && { reservation: reservationBody(reservation) }),
  };
}

/**
 * The problem for a charger that has not answered: the client learns the outcome from events, or by reading the
 * reservation again.
 */
export const unanswered = (reservation: Reservation): ProblemError =>
  new ProblemError({
    status: 504,
    code: 'NO_ANSWER',
    detail: `The charger has not answered; the reservation is ${reservation.status}, and may still change. Read it again, or watch its events.`,
    headers: { location: `/reservations/${reservation.id}` },
    reservation: reservationBody(reservation),
  });
