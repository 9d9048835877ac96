// The schemas of the REST API (zod). They check and type requests; answers are only described by them. The OpenAPI
// document is generated from both.
import { z } from 'zod';
import { liveStatuses } from '../model/reservation/reservation.ts';

const MAX_INT32 = 2_147_483_647;
const text = (description: string) => z.string().min(1).max(255).describe(description);
const key = (description: string) => z.guid().describe(description);
const integer = (description: string, minimum: number, maximum = MAX_INT32) =>
  z.int().min(minimum).max(maximum).describe(description);
const flag = (description: string) => z.boolean().describe(description);
/** An instant of an answer: ISO 8601 in UTC. */
const instant = (description: string) => z.iso.datetime().describe(description);
/** An instant that a client gives, with its offset. Clients also send a space for the T, a small z, or +0100. */
const given = (description: string) =>
  z
    .preprocess(
      normalInstant,
      z.codec(z.iso.datetime({ offset: true }), z.date(), {
        decode: (iso) => new Date(iso),
        encode: (date) => date.toISOString(),
      }),
    )
    .describe(description);
const INSTANT = /^(\d{4}-\d\d-\d\d)[t\s](.*?)(?:z|([+-]\d\d)(?::?(\d\d))?)$/i;
const normalInstant = (value: unknown): unknown =>
  typeof value !== 'string'
    ? value
    : value.replace(INSTANT, (_, day: string, time: string, hours?: string, minutes = '00') =>
        [day, 'T', time, hours === undefined ? 'Z' : `${hours}:${minutes}`].join(''),
      );
/** Has no enum: values may be added later, and a client must accept unknown ones. */
const open = (description: string, example: string) => z.string().meta({ description, examples: [example] });
/** A number in a query, given as text. */
const counted = (description: string, minimum: number, maximum = MAX_INT32) =>
  z
    .preprocess((value) => (value === '' ? Number.NaN : value), z.coerce.number().int().min(minimum).max(maximum))
    .describe(description);

const statuses = [...liveStatuses, 'USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED'] as const;

/** The `id` in `.meta()` is the name of the schema in the OpenAPI document. */
export const reservation = z
  .looseObject({
    id: key('Key of the reservation in this API.'),
    reservationId: integer('Its id on the charger; unique among the charger’s live reservations only.', 1),
    status: z
      .enum(statuses)
      .describe(
        'State of the reservation. SCHEDULED holds its window; PENDING, UNKNOWN, ACCEPTED and CANCELLING hold the connector; the others are final.',
      ),
    reason: open(
      'Why the reservation has this status; absent if the status needs no reason.',
      'DRIVER_REQUEST',
    ).optional(),
    version: integer('Grows by one with each change.', 1),
    siteId: text('The site.'),
    chargerId: text('The charger.'),
    connectorId: integer('The connector; 0: the charger chooses.', 0),
    plugType: text('The charger chooses among its connectors with this plug.').optional(),
    idTag: text('The holder; absent: any member of the group.').optional(),
    parentIdTag: text('The group whose members may also use the reservation.').optional(),
    policyVersion: integer('Version of the site’s policy that allowed it.', 0).optional(),
    createdAt: instant('When the reservation was requested.').optional(),
    startsAt: instant('When the hold began, or the booking begins.'),
    expiryDate: instant('When the hold ends at the latest.'),
    acceptedAt: instant('When the charger first accepted it.').optional(),
    endedAt: instant('When it ended; absent while it holds.').optional(),
    isBooking: flag('Whether it was booked for a later start.').optional(),
    extensions: integer('How often it was extended.', 0).optional(),
    movedFrom: key('The reservation that this one replaced by a move.').optional(),
    alternative: z
      .looseObject({ chargerId: text('Its charger.'), connectorId: integer('Its number.', 1) })
      .describe('For a booking that FAILED: a connector of the site that was free for its window.')
      .optional(),
    isLateCancel: flag('Whether the holder cancelled so late that it counts against the holder.').optional(),
    isReReservation: flag(
      'Whether it was made so soon after an unused reservation that it counts against the holder.',
    ).optional(),
    transactionId: text('If USED: the transaction that used it.').optional(),
    usedConnectorId: integer('If USED: the connector, if the charger reported it.', 1).optional(),
    isBreached: flag('Whether another idTag charged on the held connector although it was refused.').optional(),
    enforcement: z
      .enum(['CHARGER', 'SERVER'])
      .describe('The side that keeps others away: the charger, or this server by refusing them.')
      .optional(),
    chargerSaid: open('What the charger reported about it after it had ended here.', 'EXPIRED').optional(),
  })
  .meta({ id: 'Reservation', description: 'A connector held for an idTag until an expiry date.' });

export const reservationPage = z
  .looseObject({
    items: z.array(reservation).describe('The rows.'),
    nextCursor: z.string().describe('Pass it as `after` to get the next page; absent on the last page.').optional(),
  })
  .meta({ id: 'ReservationPage', description: 'A page of reservations, the newest first.' });

export const problem = z
  .looseObject({
    type: z.string().describe('Always about:blank; the code says more.'),
    title: z.string().describe('Name of the HTTP status.'),
    status: z.int().min(100).max(599).describe('HTTP status of the answer.'),
    code: open('For programs; more codes may be added.', 'RESERVED'),
    detail: z.string().describe('For people: what is wrong and what to do, in English.'),
    reservation: reservation.optional(),
  })
  .meta({ id: 'Problem', description: 'Why a request was not carried out (RFC 9457), with the facts to act on.' });

export const reserveNowBody = z.strictObject({
  connectorId: integer('The connector; 0, the default: the charger chooses.', 0, 65_535).optional(),
  plugType: text('Any connector of the charger with that plug, for example CCS2.').optional(),
  idTag: text(
    'The idTag to hold it for; a driver gives one of its own. Absent: for any member of the group.',
  ).optional(),
  parentIdTag: text('The group whose members may also use the reservation.').optional(),
  expiryDate: given('When the hold ends; give either this or `durationMinutes`.').optional(),
  durationMinutes: integer('How long to hold it. Default: set by the policy.', 1, 525_600).optional(),
  reservationId: integer('The id on the charger. Default: the server assigns one.', 1).optional(),
  preempt: flag(
    'Whether to end reservations of lower priority that are in the way, where the policy allows it.',
  ).optional(),
  waitMs: integer(
    'How long to wait for the answer of the charger. Default: until it answers or times out.',
    0,
    600_000,
  ).optional(),
});

export const cancelReservationBody = z
  .strictObject({
    id: key('Key of the reservation in this API.').optional(),
    reservationId: integer('Id of the reservation on the charger.', 1).optional(),
    reason: z
      .enum(['DRIVER_REQUEST', 'OPERATOR_REQUEST', 'POLICY'])
      .describe('Default: DRIVER_REQUEST for drivers, OPERATOR_REQUEST for others.')
      .optional(),
    force: flag(
      'Operators and admins only: end it at once without waiting for the charger, which gets the cancellation as soon as possible.',
    ).optional(),
  })
  .describe('Which reservation of the charger: by `id` or by `reservationId`.');

export const chargerParams = z.object({ id: text('The charger: its OCPP identity.') });

export const reservationParams = z.object({ id: text('The reservation: its key in this API.') });

export const idempotencyHeader = z.looseObject({
  'idempotency-key': text(
    'Makes a retry safe: after a lost answer, send the same request again with the same key and get the same result.',
  ).optional(),
});

export const reservationsQuery = z.strictObject({
  siteId: text('Only reservations at this site.').optional(),
  chargerId: text('Only reservations on this charger.').optional(),
  connectorId: counted(
    'Only reservations on this connector; 0: those whose connector the charger chooses.',
    0,
  ).optional(),
  idTag: text('Only reservations of this holder.').optional(),
  status: z.array(z.enum(statuses)).describe('Only reservations in one of these states.').optional(),
  first: counted('Maximum number of rows.', 1, 100).default(20),
  after: z.string().max(2000).describe('The `nextCursor` of the previous page.').optional(),
});

export const eventsQuery = z.strictObject({
  kind: z
    .array(z.enum(['RESERVATION', 'CONNECTOR']))
    .describe('Only events of these kinds. Default: both.')
    .optional(),
  siteId: text('Only events at this site.').optional(),
  chargerId: text('Only events of this charger.').optional(),
  connectorId: counted(
    'Only events of this connector; 0: of the whole charger, or of reservations whose connector it chooses.',
    0,
  ).optional(),
  reservationId: key('Only events of this reservation.').optional(),
  idTag: text('Only events of reservations held for this idTag.').optional(),
  after: z
    .string()
    .max(10_000)
    .describe('A `cursor`: the stream begins with the events after it. The header Last-Event-ID takes precedence.')
    .optional(),
});

/** A stream of Server-Sent Events is text. */
export const eventStream = z.string();
