// Decides which process delivers to which webhook: one at a time, by a lease in the webhook's row. The feed only wakes
// couriers; what they deliver is read from the log (courier.ts).
import { randomUUID } from 'node:crypto';
import { addMs } from '../common/clock.ts';
import type { Feed, Following } from '../event-log/feed.ts';
import type { Webhook } from '../model/events/webhook.ts';
import { Courier, type CourierPorts, Lanes } from './courier.ts';

interface Ports extends CourierPorts {
  readonly feed: Feed;
}

/** How often a process claims webhooks without a holder and renews its own leases. */
const LOOK_MS = 5000;
const WAKE_ALL_MS = 60_000;
const LEASE_MS = 30_000;
const MAX_CLAIMED_AT_ONCE = 100;

export class Deliveries {
  /** Identifies this process in the rows of the webhooks that it holds. */
  readonly #claim = randomUUID();
  readonly #couriers = new Map<string, Courier>();
  readonly #ending = new Set<Promise<void>>();
  readonly #lanes = new Lanes();
  #following: Following | undefined;
  #callOff: () => void = () => {};
  #looking: Promise<void> = Promise.resolve();
  #wokenAt = 0;
  #isStopped = false;

  constructor(private readonly ports: Ports) {}

  start(): void {
    this.look();
  }

  /** Renews and claims now instead of at the next interval: a webhook was created or changed. */
  look(): void {
    if (this.#isStopped) return;
    this.#callOff();
    this.#looking = this.#looking
      .then(() => this.#look())
      .finally(() => {
        this.#callOff();
        if (!this.#isStopped) this.#callOff = this.ports.clock.after(LOOK_MS, () => this.look());
      });
  }

  /** Resolves when no message is under way; other processes may take over at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#callOff();
    this.#following?.stop();
    await this.#looking;
    const stopping = [...this.#couriers.values()].map((courier) => courier.stop());
    // Messages that are cut off here are sent again by the next holder.
    this.ports.target.close();
    await Promise.all([...stopping, ...this.#ending]);
    const ids = [...this.#couriers.keys()];
    // A lease that cannot be released ends by itself.
    await this.ports.webhooks.release(this.#claim, ids).catch(() => {});
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    const { webhooks, clock, log } = this.ports;
    try {
      const now = clock.now();
      const until = addMs(now, LEASE_MS);
      if (this.#couriers.size > 0) {
        const held = await webhooks.renew(this.#claim, [...this.#couriers.keys()], until);
        for (const [id, courier] of this.#couriers) {
          if (held.has(id)) courier.heldUntil = until;
          else this.#end(id, courier);
        }
      }
      // Wakes couriers whose sites are quiet, too: their position must advance before the log is trimmed.
      if (now.getTime() - this.#wokenAt >= WAKE_ALL_MS) {
        this.#wokenAt = now.getTime();
        for (const courier of this.#couriers.values()) courier.wake();
      }
      for (const webhook of await webhooks.claim(this.#claim, now, until, MAX_CLAIMED_AT_ONCE))
        this.#begin(webhook, until);
      this.#follow();
    } catch (error) {
      log.error({ error }, 'leases of webhooks could not be renewed or claimed; trying again');
    }
  }

  #begin(webhook: Webhook, heldUntil: Date): void {
    const before = this.#couriers.get(webhook.id)?.stop() ?? Promise.resolve();
    const onOver = () => this.#end(webhook.id, courier);
    const courier: Courier = new Courier(this.ports, this.#claim, heldUntil, webhook, before, this.#lanes, onOver);
    this.#couriers.set(webhook.id, courier);
    courier.wake();
  }

  /** Releases the lease once the courier's messages have ended. */
  #end(id: string, courier: Courier): void {
    const ending = courier
      .stop()
      .then(async () => {
        if (this.#couriers.get(id) !== courier) return;
        this.#couriers.delete(id);
        await this.ports.webhooks.release(this.#claim, [id]);
      })
      .then(() => this.look())
      .catch((error) => this.ports.log.error({ error, webhook: id }, 'the lease of a webhook could not be released'))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Follows the event feed only while this process holds webhooks. */
  #follow(): void {
    if (this.#couriers.size === 0) {
      this.#following?.stop();
      this.#following = undefined;
    }
    if (this.#couriers.size === 0 || this.#following) return;
    const { feed, log } = this.ports;
    feed.bounds().then(
      ({ end: position }) => {
        if (this.#isStopped || this.#following) return;
        this.#following = feed.follow(
          { kinds: ['RESERVATION', 'CONNECTOR'] },
          { position },
          {
            take: ({ event }) => {
              for (const courier of this.#couriers.values()) if (courier.isConcernedBy(event)) courier.wake();
              return undefined;
            },
            fail: (error) => {
              log.error({ error }, 'the event feed of webhooks failed; following it again');
              this.#following = undefined;
            },
          },
        );
        // Wakes every courier: events that came while nothing followed the feed have woken none.
        for (const courier of this.#couriers.values()) courier.wake();
      },
      (error) => log.error({ error }, 'webhooks could not follow the event feed; trying again'),
    );
  }
}
