// REST routes to reserve, cancel, list and watch without GraphQL. Each has the rights, and each change the audit entry,
// of the GraphQL operation of the same name.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { ZodType } from 'zod';
import type { Audit } from '../audit/audit.ts';
import type { Authenticate } from '../auth/authenticate.ts';
import type { RequestLimits } from '../auth/request-limits.ts';
import type { Clock } from '../common/clock.ts';
import { isUuid } from '../common/identifier.ts';
import { BadPageArgument, fromNewestKey, newestKey, readRows } from '../common/page.ts';
import { present } from '../common/present.ts';
import type { Deadlines } from '../http/deadlines.ts';
import { type Problem, ProblemError, sendProblem } from '../http/problem.ts';
import type { Caller } from '../model/access/caller.ts';
import {
  may,
  maySeeReservation,
  needsPermission,
  type OperationName,
  operations,
  reservationShare,
} from '../model/access/rights.ts';
import { reservationNotFound } from '../model/refusals/not-found.ts';
import { isRefusal, type Refusal } from '../model/refusals/refusal.ts';
import type { EndedRefusal } from '../model/reservation/refusals.ts';
import type { Reservation } from '../model/reservation/reservation.ts';
import { reservationBody } from '../model/reservation/reservation-body.ts';
import { cancelReservation } from '../reserving/cancel-reservation.ts';
import type { ReservingPorts } from '../reserving/ports.ts';
import { reserveNow } from '../reserving/reserve-now.ts';
import type { ReservationFilter } from '../storage/reservations/reservation.repository.ts';
import { checkBySchemas } from './checks.ts';
import { addEvents, type EventPorts } from './events.ts';
import { refusalProblem, unanswered } from './refusal-problem.ts';
import * as schemas from './schemas.ts';

export interface RestPorts extends EventPorts {
  readonly reserving: ReservingPorts;
  readonly authenticate: Authenticate;
  readonly limits: RequestLimits;
  readonly audit: Audit;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
}

export interface RestEdge {
  /** Ends the event streams. */
  close(): Promise<void>;
}

/** Costs of a request, in the cost units of GraphQL operations. */
const COST_OF_A_CHANGE = 60;
const COST_OF_A_ROW = 25;

const problems = (...statuses: readonly number[]) =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: meanings[status] ?? '',
        content: { 'application/problem+json': { schema: schemas.problem } },
      },
    ]),
  );
const meanings: Record<number, string> = {
  400: 'A field is wrong: see `field`.',
  401: 'No credential, or one that is not valid.',
  403: 'The caller is not allowed to do this.',
  404: 'There is no such thing, or it is not yours to see.',
  409: 'A conflict, for example a connector that is held or in use, or a reservation that has ended; the code says which.',
  410: 'The event log no longer reaches back to the cursor: see `oldestCursor`.',
  422: 'The policy or the idTag does not allow it, the charger cannot do it, or the Idempotency-Key belongs to another request; the code says which.',
  429: 'Too many requests: see Retry-After.',
  502: 'The charger refused: see `answer`.',
  503: 'The charger is offline, or the server cannot answer now: see `code` and Retry-After.',
  504: 'The charger has not answered: the outcome may still change. See `reservation`.',
};
const ok = (description: string, schema: ZodType) => ({
  200: { description, content: { 'application/json': { schema } } },
});

export async function addRest(http: FastifyInstance, ports: RestPorts): Promise<RestEdge> {
  let close = async () => {};
  await http.register(async (scope) => {
    checkBySchemas(scope);
    await scope.register(async (bounded) => {
      bounded.addHook('onRequest', async (request, reply) =>
        ports.deadlines.begin(request, reply, () => void sendProblem(reply, timedOut)),
      );
      addReservations(bounded, ports);
    });
    ({ close } = addEvents(scope, ports, (request) => admit(ports, request, 'events', COST_OF_A_CHANGE)));
  });
  return { close: () => close() };
}

function addReservations(http: FastifyInstance, ports: RestPorts): void {
  const scope = http.withTypeProvider<ZodTypeProvider>();
  const { reservations } = ports.reserving;
  const security = [{ bearer: [] }];
  const changing = { tags: ['Reservations'], security, headers: schemas.idempotencyHeader };

  scope.post(
    '/chargers/:id/actions/reserve-now',
    {
      schema: {
        operationId: 'reserveNow',
        summary: 'Hold a connector',
        ...changing,
        description: 'Holds a connector for an idTag, on the charger itself, until an expiry date.',
        params: schemas.chargerParams,
        body: schemas.reserveNowBody,
        response: {
          ...ok('The charger holds the connector.', schemas.reservation),
          ...problems(400, 401, 403, 404, 409, 422, 429, 502, 503, 504),
        },
      },
    },
    async (request) => {
      const { connectorId = 0, ...rest } = request.body;
      const { 'idempotency-key': idempotencyKey } = request.headers;
      const input = { ...present({ ...rest, idempotencyKey }), chargerId: request.params.id, connectorId };
      const made = orProblem(
        await change(ports, request, 'reserveNow', input, (caller) => reserveNow(ports.reserving, caller, input)),
      );
      if (made.status === 'PENDING' || made.status === 'UNKNOWN') throw unanswered(made);
      return reservationBody(made);
    },
  );

  scope.post(
    '/chargers/:id/actions/cancel-reservation',
    {
      schema: {
        operationId: 'cancelReservation',
        summary: 'End a reservation',
        ...changing,
        description:
          'Ends a reservation and frees its connector, on the charger too. With an Idempotency-Key, cancelling a reservation that is CANCELLED already succeeds.',
        params: schemas.chargerParams,
        body: schemas.cancelReservationBody,
        response: {
          ...ok('The reservation is cancelled.', schemas.reservation),
          ...problems(400, 401, 403, 404, 409, 422, 429, 502, 503, 504),
        },
      },
    },
    async (request) => {
      const { id: chargerId } = request.params;
      const { id, reservationId } = request.body;
      const which = present(request.body);
      const answer = await change(ports, request, 'cancelReservation', { chargerId, ...which }, async (caller) => {
        if (id === undefined) return cancelReservation(ports.reserving, caller, { chargerId, ...which });
        const found = reservationId === undefined ? await reservations.byId(id) : undefined;
        // A reservation of another charger counts as not found.
        const isHere = reservationId !== undefined || found?.chargerId === chargerId;
        return isHere ? cancelReservation(ports.reserving, caller, which) : reservationNotFound;
      });
      const before =
        isRefusal(answer) && answer.code === 'ALREADY_ENDED' ? (answer as EndedRefusal).reservation : undefined;
      const isSame = before?.status === 'CANCELLED' && request.headers['idempotency-key'] !== undefined;
      const ended = isSame ? before : orProblem(answer);
      if (ended.status === 'CANCELLING') throw unanswered(ended);
      return reservationBody(ended);
    },
  );

  scope.get(
    '/reservations',
    {
      schema: {
        tags: ['Reservations'],
        security,
        operationId: 'reservations',
        summary: 'List reservations',
        description: 'The reservations the caller may see, the newest first.',
        querystring: schemas.reservationsQuery,
        response: { ...ok('A page.', schemas.reservationPage), ...problems(400, 401, 403, 429, 503) },
      },
    },
    async (request) => {
      const { siteId, idTag, status, first, after, ...rest } = request.query;
      const caller = await admit(ports, request, 'reservations', first * COST_OF_A_ROW);
      const share = reservationShare(caller, present({ siteId, idTag }));
      const filter: ReservationFilter = { ...present({ ...rest, statuses: status }), ...share };
      const page = await readRows({ first, ...(after !== undefined && { after }) }, newestKey, (limit, key) =>
        reservations.page(filter, limit, fromNewestKey(key)),
      ).catch((error) => {
        if (!(error instanceof BadPageArgument)) throw error;
        const { argument: field, message: detail } = error;
        throw new ProblemError({ status: 400, code: 'INVALID_INPUT', detail, field });
      });
      const items = page.rows.map(({ node }) => reservationBody(node));
      return { items, ...(page.hasNext && { nextCursor: page.rows.at(-1)?.cursor }) };
    },
  );

  scope.get(
    '/reservations/:id',
    {
      schema: {
        tags: ['Reservations'],
        security,
        operationId: 'reservation',
        summary: 'Read a reservation',
        description: 'The current state of a reservation.',
        params: schemas.reservationParams,
        response: { ...ok('The reservation.', schemas.reservation), ...problems(401, 403, 404, 429, 503) },
      },
    },
    async (request) => {
      const caller = await admit(ports, request, 'reservation', COST_OF_A_ROW);
      const found = isUuid(request.params.id) ? await reservations.byId(request.params.id) : undefined;
      if (!found || !maySeeReservation(caller, found)) throw new ProblemError(refusalProblem(reservationNotFound));
      return reservationBody(found);
    },
  );
}

/** Returns the caller; throws a problem if the caller may not run the operation. */
async function admit(
  ports: RestPorts,
  request: FastifyRequest,
  operation: OperationName,
  cost: number,
): Promise<Caller> {
  const caller = await enter(ports, request, cost);
  const refusal = refusalOf(caller, operation);
  if (refusal) throw new ProblemError(refusalProblem(refusal));
  return caller;
}

async function enter(ports: RestPorts, request: FastifyRequest, cost: number): Promise<Caller> {
  const { authenticate, limits, deadlines } = ports;
  const caller = await authenticate(request.headers.authorization, request.address);
  limits.countBy(caller);
  limits.spend(caller, cost);
  if (deadlines.signalOf(request).aborted) throw new ProblemError(timedOut);
  return caller;
}

const timedOut: Problem = {
  status: 503,
  code: 'TIMED_OUT',
  detail:
    'The request took too long, but what it started continues: read the outcome, or send the request again with its Idempotency-Key.',
  headers: { 'retry-after': '1' },
};

function refusalOf(caller: Caller, operation: OperationName): Refusal | undefined {
  const permission = operations[operation];
  return may(caller, permission) ? undefined : { code: 'FORBIDDEN', message: needsPermission(permission) };
}

/** Returns the result of the use case, after its audit entry is stored. */
async function change(
  ports: RestPorts,
  request: FastifyRequest,
  operation: 'reserveNow' | 'cancelReservation',
  input: object,
  run: (caller: Caller) => Promise<Reservation | Refusal>,
): Promise<Reservation | Refusal> {
  const caller = await enter(ports, request, COST_OF_A_CHANGE);
  const source = { address: request.address, via: 'REST' } as const;
  const checked = () => refusalOf(caller, operation) ?? run(caller);
  return ports.audit.record<Reservation | Refusal>(caller, source, operation, { input }, checked);
}

function orProblem(answer: Reservation | Refusal): Reservation {
  if (isRefusal(answer)) throw new ProblemError(refusalProblem(answer));
  return answer;
}
