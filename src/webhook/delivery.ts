// Who delivers to which webhook: one process at a time, by a lease. What it is told of events is a hint; what is delivered is
// read from the log (courier.ts).
import { randomUUID } from 'node:crypto';
import { addMs } from '../common/clock.ts';
import type { Feed, Following } from '../event-log/feed.ts';
import type { Webhook } from '../model/events/webhook.ts';
import { Courier, type CourierPorts, Lanes } from './courier.ts';

interface Ports extends CourierPorts {
  readonly feed: Feed;
}

/** So often a process looks for webhooks that nobody delivers to, and says that it is still at its own. */
const LOOK_MS = 5000;
const WAKE_ALL_MS = 60_000;
const LEASE_MS = 30_000;
const MAX_CLAIMED_AT_ONCE = 100;

export class Deliveries {
  /** What this process holds its webhooks by. */
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

  /** Somebody made or changed a webhook. */
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

  /** Resolves when no message is on its way; others may take over at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#callOff();
    this.#following?.stop();
    await this.#looking;
    const stopping = [...this.#couriers.values()].map((courier) => courier.stop());
    // What is on its way is sent again by whoever goes on.
    this.ports.target.close();
    await Promise.all([...stopping, ...this.#ending]);
    const ids = [...this.#couriers.keys()];
    await this.ports.webhooks.release(this.#claim, ids).catch(() => {}); // The lease ends by itself.
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
      // Of those whose sites are quiet the place in the log moves on, too, before the log is shortened.
      if (now.getTime() - this.#wokenAt >= WAKE_ALL_MS) {
        this.#wokenAt = now.getTime();
        for (const courier of this.#couriers.values()) courier.wake();
      }
      for (const webhook of await webhooks.claim(this.#claim, now, until, MAX_CLAIMED_AT_ONCE))
        this.#begin(webhook, until);
      this.#follow();
    } catch (error) {
      log.error({ error }, 'webhooks could not be looked after; trying again');
    }
  }

  #begin(webhook: Webhook, heldUntil: Date): void {
    const before = this.#couriers.get(webhook.id)?.stop() ?? Promise.resolve();
    const onOver = () => this.#end(webhook.id, courier);
    const courier: Courier = new Courier(this.ports, this.#claim, heldUntil, webhook, before, this.#lanes, onOver);
    this.#couriers.set(webhook.id, courier);
    courier.wake();
  }

  /** The claim is let go once nothing is on its way any more. */
  #end(id: string, courier: Courier): void {
    const ending = courier
      .stop()
      .then(async () => {
        if (this.#couriers.get(id) !== courier) return;
        this.#couriers.delete(id);
        await this.ports.webhooks.release(this.#claim, [id]);
      })
      .then(() => this.look())
      .catch((error) => this.ports.log.error({ error, webhook: id }, 'a webhook could not be let go'))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Whoever has no webhooks reads no events. */
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
              log.error({ error }, 'webhooks are not told of events; beginning anew');
              this.#following = undefined;
            },
          },
        );
        // What came in between had nobody to tell.
        for (const courier of this.#couriers.values()) courier.wake();
      },
      (error) => log.error({ error }, 'webhooks are not told of events; trying again'),
    );
  }
}
