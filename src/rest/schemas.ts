// What REST takes and gives, as JSON Schema: requests are checked by it, answers are written by it, and the OpenAPI document
// shows it.

const text = (description: string) => ({ type: 'string', minLength: 1, maxLength: 255, description }) as const;
const instant = (description: string) => ({ type: 'string', format: 'date-time', description }) as const;
const integer = (description: string, minimum: number, maximum = 2_147_483_647) =>
  ({ type: 'integer', minimum, maximum, description }) as const;
const flag = (description: string) => ({ type: 'boolean', description }) as const;
const oneOf = (description: string, values: readonly string[]) =>
  ({ type: 'string', enum: values, description }) as const;
/** Members that may come later, too: a client must not choke on them. */
const open = (description: string, example: string) => ({ type: 'string', description, examples: [example] }) as const;

const STATUSES = [
  ...['SCHEDULED', 'PENDING', 'UNKNOWN', 'ACCEPTED', 'CANCELLING'],
  ...['USED', 'CANCELLED', 'EXPIRED', 'REMOVED', 'REJECTED', 'FAILED'],
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
    id: { type: 'string', format: 'uuid', description: 'Its key in this API.' },
    reservationId: integer('Its id on the charger; unique among the charger’s live reservations only.', 1),
    status: oneOf('Where it stands. The first five hold the connector; the others are final.', STATUSES),
    reason: open('Why it stands there, where that needs a reason.', 'DRIVER_REQUEST'),
    version: integer('Grows by one with each change.', 1),
    siteId: text('The site.'),
    chargerId: text('The charger.'),
    connectorId: integer('The connector; 0: the charger chooses.', 0),
    plugType: text('The charger chooses among the connectors with that plug.'),
    idTag: text('The holder; absent: the group alone.'),
    parentIdTag: text('The group whose members may use it, too.'),
    policyVersion: integer('Version of the site’s policy that allowed it.', 0),
    createdAt: instant('When it was asked for.'),
    startsAt: instant('When the hold began, or the booking begins.'),
    expiryDate: instant('When the hold ends at the latest.'),
    acceptedAt: instant('When the charger first accepted it.'),
    endedAt: instant('When it ended; absent while it holds.'),
    isBooking: flag('Whether it was made for later.'),
    extensions: integer('How often it was extended.', 0),
    movedFrom: { type: 'string', format: 'uuid', description: 'The reservation that it takes the place of.' },
    alternative: {
      type: 'object',
      description: 'Of a booking that FAILED: a free connector of the site that would have fitted then.',
      properties: { chargerId: text('Its charger.'), connectorId: integer('Its number.', 1) },
    },
    isLateCancel: flag('Whether its holder cancelled it so late that it counts against it.'),
    isReReservation: flag('Whether it followed so soon on one left unused that it counts against its holder.'),
    transactionId: text('Of USED: the transaction that used it.'),
    usedConnectorId: integer('Of USED: the connector, where the charger said.', 1),
    isBreached: flag('Whether somebody else charged on the held connector although refused.'),
    enforcement: oneOf('Who keeps others away.', ['CHARGER', 'SERVER']),
    chargerSaid: open('What the charger told of it after it had ended here.', 'EXPIRED'),
  },
} as const;

export const reservationPage = {
  $id: 'ReservationPage',
  type: 'object',
  description: 'A page of reservations, the newest first.',
  required: ['items'],
  properties: {
    items: { type: 'array', items: { $ref: 'Reservation#' }, description: 'The rows.' },
    nextCursor: { type: 'string', description: 'Pass it as `after` for the next page; absent: there is none.' },
  },
} as const;

export const problem = {
  $id: 'Problem',
  type: 'object',
  description: 'Why something was not done (RFC 9457), with the facts to act on.',
  required: ['type', 'title', 'status', 'code', 'detail'],
  properties: {
    type: { type: 'string', description: 'about:blank: the code says more.' },
    title: { type: 'string', description: 'The name of the status.' },
    status: { type: 'integer', description: 'The status of the answer.' },
    code: open('For programs; more may come.', 'RESERVED'),
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
    idTag: text('Whom to hold it for; a driver’s own. Absent: the group alone.'),
    parentIdTag: text('The group whose members may use it, too.'),
    expiryDate: instant('When the hold ends; or else give `durationMinutes`.'),
    durationMinutes: integer('How long to hold it. Default: as the policy says.', 1, 525_600),
    reservationId: integer('The id on the charger. Default: the server assigns one.', 1),
    preempt: flag('Takes the place of reservations of lower priority, where the policy allows it.'),
    waitMs: integer('How long to wait for the charger. Default: until its time is over.', 0, 600_000),
  },
} as const;

export const cancelReservationBody = {
  type: 'object',
  additionalProperties: false,
  description: 'Which reservation of the charger: by `id` or by `reservationId`.',
  properties: {
    id: { type: 'string', format: 'uuid', description: 'Its key in this API.' },
    reservationId: integer('Its id on the charger.', 1),
    reason: oneOf('Default: by the role of the caller.', ['DRIVER_REQUEST', 'OPERATOR_REQUEST', 'POLICY']),
    force: flag('Operators: end it at once; the charger is told when it can be.'),
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
    'idempotency-key': text('Send the same key with the same request again, after a lost answer, and get the same.'),
  },
} as const;

export const reservationsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    siteId: text('At this site.'),
    chargerId: text('On this charger.'),
    connectorId: integer('On this connector; 0: where the charger chooses.', 0),
    idTag: text('Of this holder.'),
    status: { type: 'array', items: { type: 'string', enum: STATUSES }, description: 'In one of these states.' },
    first: { ...integer('How many rows at most.', 1, 100), default: 20 },
    after: { type: 'string', maxLength: 2000, description: 'The `nextCursor` of the page before.' },
  },
} as const;

export const eventsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    kind: {
      type: 'array',
      items: { type: 'string', enum: ['RESERVATION', 'CONNECTOR'] },
      description: 'Of these kinds. Default: both.',
    },
    siteId: text('At this site.'),
    chargerId: text('On this charger.'),
    connectorId: integer('On this connector; 0: the whole charger, or where it chooses.', 0),
    reservationId: { type: 'string', format: 'uuid', description: 'Of this reservation.' },
    idTag: text('Of this holder’s reservations.'),
    after: {
      type: 'string',
      maxLength: 10_000,
      description: 'A `cursor`: first comes all that was missed since. The header Last-Event-ID counts before it.',
    },
  },
} as const;
