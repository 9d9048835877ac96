// The JSON Schemas of the REST API: they validate requests, serialize answers and make up the OpenAPI document.

const text = (description: string) => ({ type: 'string', minLength: 1, maxLength: 255, description }) as const;
const instant = (description: string) => ({ type: 'string', format: 'date-time', description }) as const;
const integer = (description: string, minimum: number, maximum = 2_147_483_647) =>
  ({ type: 'integer', minimum, maximum, description }) as const;
const flag = (description: string) => ({ type: 'boolean', description }) as const;
const oneOf = (description: string, values: readonly string[]) =>
  ({ type: 'string', enum: values, description }) as const;
/** Has no enum: values may be added later, and a client must accept unknown ones. */
const open = (description: string, example: string) => ({ type: 'string', description, examples: [example] }) as const;

const STATUSES = [
  'SCHEDULED',
  'PENDING',
  'UNKNOWN',
  'ACCEPTED',
  'CANCELLING',
  'USED',
  'CANCELLED',
  'EXPIRED',
  'REMOVED',
  'REJECTED',
  'FAILED',
];

export const reservation = {
  $id: 'Reservation',
  type: 'object',
  description: 'A connector held for an idTag until an expiry date.',
  required: [
    'id',
    'reservationId',
    'status',
    'version',
    'siteId',
    'chargerId',
    'connectorId',
    'startsAt',
    'expiryDate',
  ],
  properties: {
    id: { type: 'string', format: 'uuid', description: 'Key of the reservation in this API.' },
    reservationId: integer('Its id on the charger; unique among the charger’s live reservations only.', 1),
    status: oneOf('State of the reservation. The first five hold the connector; the others are final.', STATUSES),
    reason: open('Why the reservation has this status; absent if the status needs no reason.', 'DRIVER_REQUEST'),
    version: integer('Grows by one with each change.', 1),
    siteId: text('The site.'),
    chargerId: text('The charger.'),
    connectorId: integer('The connector; 0: the charger chooses.', 0),
    plugType: text('The charger chooses among its connectors with this plug.'),
    idTag: text('The holder; absent: any member of the group.'),
    parentIdTag: text('The group whose members may also use the reservation.'),
    policyVersion: integer('Version of the site’s policy that allowed it.', 0),
    createdAt: instant('When the reservation was requested.'),
    startsAt: instant('When the hold began, or the booking begins.'),
    expiryDate: instant('When the hold ends at the latest.'),
    acceptedAt: instant('When the charger first accepted it.'),
    endedAt: instant('When it ended; absent while it holds.'),
    isBooking: flag('Whether it was booked for a later start.'),
    extensions: integer('How often it was extended.', 0),
    movedFrom: { type: 'string', format: 'uuid', description: 'The reservation that this one replaced by a move.' },
    alternative: {
      type: 'object',
      description: 'For a booking that FAILED: a connector of the site that was free for its window.',
      properties: { chargerId: text('Its charger.'), connectorId: integer('Its number.', 1) },
    },
    isLateCancel: flag('Whether the holder cancelled so late that it counts against the holder.'),
    isReReservation: flag('Whether it was made so soon after an unused reservation that it counts against the holder.'),
    transactionId: text('If USED: the transaction that used it.'),
    usedConnectorId: integer('If USED: the connector, if the charger reported it.', 1),
    isBreached: flag('Whether another idTag charged on the held connector although it was refused.'),
    enforcement: oneOf('Who keeps others away: the charger itself, or this server by refusing them.', [
      'CHARGER',
      'SERVER',
    ]),
    chargerSaid: open('What the charger reported about it after it had ended here.', 'EXPIRED'),
  },
} as const;

export const reservationPage = {
  $id: 'ReservationPage',
  type: 'object',
  description: 'A page of reservations, the newest first.',
  required: ['items'],
  properties: {
    items: { type: 'array', items: { $ref: 'Reservation#' }, description: 'The rows.' },
    nextCursor: { type: 'string', description: 'Pass it as `after` to get the next page; absent on the last page.' },
  },
} as const;

export const problem = {
  $id: 'Problem',
  type: 'object',
  description: 'Why a request was not carried out (RFC 9457), with the facts to act on.',
  required: ['type', 'title', 'status', 'code', 'detail'],
  properties: {
    type: { type: 'string', description: 'Always about:blank; the code says more.' },
    title: { type: 'string', description: 'Name of the HTTP status.' },
    status: { type: 'integer', description: 'HTTP status of the answer.' },
    code: open('For programs; more codes may be added.', 'RESERVED'),
    detail: { type: 'string', description: 'For people: what is wrong and what to do, in English.' },
    reservation: { $ref: 'Reservation#' },
  },
  additionalProperties: true,
} as const;

export const reserveNowBody = {
  type: 'object',
  additionalProperties: false,
  properties: {
    connectorId: integer('The connector; 0, the default: the charger chooses.', 0, 65_535),
    plugType: text('Any connector of the charger with that plug, for example CCS2.'),
    idTag: text('The idTag to hold it for; a driver gives one of its own. Absent: for any member of the group.'),
    parentIdTag: text('The group whose members may also use the reservation.'),
    expiryDate: instant('When the hold ends; give either this or `durationMinutes`.'),
    durationMinutes: integer('How long to hold it. Default: set by the policy.', 1, 525_600),
    reservationId: integer('The id on the charger. Default: the server assigns one.', 1),
    preempt: flag('Whether to end reservations of lower priority that are in the way, where the policy allows it.'),
    waitMs: integer(
      'How long to wait for the answer of the charger. Default: until it answers or times out.',
      0,
      600_000,
    ),
  },
} as const;

export const cancelReservationBody = {
  type: 'object',
  additionalProperties: false,
  description: 'Which reservation of the charger: by `id` or by `reservationId`.',
  properties: {
    id: { type: 'string', format: 'uuid', description: 'Key of the reservation in this API.' },
    reservationId: integer('Id of the reservation on the charger.', 1),
    reason: oneOf('Default: DRIVER_REQUEST for drivers, OPERATOR_REQUEST for others.', [
      'DRIVER_REQUEST',
      'OPERATOR_REQUEST',
      'POLICY',
    ]),
    force: flag(
      'Operators and admins only: end it at once without waiting for the charger, which gets the cancellation as soon as possible.',
    ),
  },
} as const;

export const chargerParams = {
  type: 'object',
  required: ['id'],
  properties: { id: text('The charger: its OCPP identity.') },
} as const;

export const reservationParams = {
  type: 'object',
  required: ['id'],
  properties: { id: text('The reservation: its key in this API.') },
} as const;

export const idempotencyHeader = {
  type: 'object',
  properties: {
    'idempotency-key': text(
      'Makes a retry safe: after a lost answer, send the same request again with the same key and get the same result.',
    ),
  },
} as const;

export const reservationsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    siteId: text('Only events at this site.'),
    chargerId: text('Only events of this charger.'),
    connectorId: integer('Only reservations on this connector; 0: those whose connector the charger chooses.', 0),
    idTag: text('Only reservations of this holder.'),
    status: {
      type: 'array',
      items: { type: 'string', enum: STATUSES },
      description: 'Only reservations in one of these states.',
    },
    first: { ...integer('Maximum number of rows.', 1, 100), default: 20 },
    after: { type: 'string', maxLength: 2000, description: 'The `nextCursor` of the previous page.' },
  },
} as const;

export const eventsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    kind: {
      type: 'array',
      items: { type: 'string', enum: ['RESERVATION', 'CONNECTOR'] },
      description: 'Only events of these kinds. Default: both.',
    },
    siteId: text('Only events at this site.'),
    chargerId: text('Only events of this charger.'),
    connectorId: integer(
      'Only events of this connector; 0: of the whole charger, or of reservations whose connector it chooses.',
      0,
    ),
    reservationId: { type: 'string', format: 'uuid', description: 'Only events of this reservation.' },
    idTag: text('Only events of reservations held for this idTag.'),
    after: {
      type: 'string',
      maxLength: 10_000,
      description: 'A `cursor`: the stream begins with the events after it. The header Last-Event-ID takes precedence.',
    },
  },
} as const;
