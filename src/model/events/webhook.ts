// Webhooks: their settings, their messages and how those are signed (Standard Webhooks 1.0). Pure; it must not know how
// messages are sent.
import { createHmac } from 'node:crypto';
import type { Position } from './cursor.ts';
import type { ConnectorEvent, ReservationEvent } from './event.ts';
import { eventBody } from './event-body.ts';

export type PauseReason = 'REQUESTED' | 'UNREACHABLE' | 'GONE' | 'CURSOR_EXPIRED';

export interface Webhook {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  /** Sites whose events it receives; absent: all. */
  readonly siteIds?: readonly string[];
  /** Message types that it receives, such as "reservation.accepted"; absent: all. */
  readonly types?: readonly string[];
  readonly secretVersion: number;
  /** Until this time messages are signed with the previous secret as well. */
  readonly oldSecretUntil?: Date;
  /** Absent: the webhook is not paused. */
  readonly pausedFor?: PauseReason;
  /** Every event up to this position in the log was delivered. */
  readonly position: Position;
  readonly deliveredAt?: Date;
  readonly failingSince?: Date;
  readonly attempts: number;
  readonly nextAttemptAt: Date;
  readonly lastError?: string;
  readonly createdAt: Date;
  readonly createdBy: string;
}

export type DeliveredEvent = ReservationEvent | ConnectorEvent;

/** The message type that receivers see, such as "reservation.accepted". */
export const messageType = ({ kind, type }: DeliveredEvent): string => `${kind}.${type}`.toLowerCase();

/** The body, which is the same byte for byte at every attempt. */
export const messageBody = (event: DeliveredEvent): string =>
  JSON.stringify({ type: messageType(event), timestamp: event.at, data: eventBody(event) });

/** The message id, the same at every attempt, so that a receiver can drop duplicates. */
export const messageId = ({ cursor }: DeliveredEvent): string => `msg_${cursor}`;

/** Messages with the same key are delivered in order: those of one reservation, or of one connector. */
export const orderKey = (event: DeliveredEvent): string =>
  event.kind === 'RESERVATION' ? event.reservation.id : `${event.chargerId} ${event.connectorId}`;

/** 32 bytes that nobody can derive without the server's key, so no secret is stored. */
const secretOf = (key: string, id: string, version: number): Buffer =>
  createHmac('sha256', key).update(`webhook ${id} ${version}`).digest();

/** The secret as the owner of the webhook gets it. */
export const secretText = (key: string, { id, secretVersion }: Pick<Webhook, 'id' | 'secretVersion'>): string =>
  `whsec_${secretOf(key, id, secretVersion).toString('base64')}`;

/** The headers by which a receiver verifies the body. */
export function signedHeaders(key: string, webhook: Webhook, id: string, body: string, now: Date) {
  const { secretVersion, oldSecretUntil } = webhook;
  const timestamp = Math.floor(now.getTime() / 1000);
  const signWith = (version: number) => {
    const signed = createHmac('sha256', secretOf(key, webhook.id, version)).update(`${id}.${timestamp}.${body}`);
    return `v1,${signed.digest('base64')}`;
  };
  const versions = oldSecretUntil && oldSecretUntil > now ? [secretVersion, secretVersion - 1] : [secretVersion];
  return {
    'webhook-id': id,
    'webhook-timestamp': `${timestamp}`,
    'webhook-signature': versions.map(signWith).join(' '),
  };
}

const FIRST_PAUSE_MS = 5000;
const LONGEST_PAUSE_MS = 3_600_000;
/** A webhook that has failed for this long is paused. */
export const GIVE_UP_MS = 86_400_000;

/** Pause before the next attempt: doubles up to an hour, plus or minus a fifth. `random`: from 0 to 1. */
export function pauseMs(attempts: number, random: number): number {
  const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 20));
  return Math.round(pause * (0.8 + 0.4 * random));
}
