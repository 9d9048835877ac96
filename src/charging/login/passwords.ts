// Chargers' passwords, stored as slow hashes (scrypt). Hashes are derived off the event loop, and logins are checked a
// few at a time, so that neither a thousand chargers that return at once nor a guesser can occupy the machine.
import { createHmac, randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Clock, pause } from '../../common/clock.ts';

const derive = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: object,
) => Promise<Buffer>;

/** scrypt's cost: about 8 MB and 20 ms for each derivation. That suffices: a password has 16 characters or more. */
const COST = 8192;
/** Cost of old hashes, whose text does not name it. */
const FIRST_COST = 4096;
const AT_ONCE = 2;
/** Logins that may wait to be checked; beyond it a login is refused with Retry-After. */
const MAX_WAITING = 5000;
/** A place rests this many times as long as a wrong login took to check, so that guessing gets a fifth of a core. */
const REST_AFTER_WRONG = 9;
const MAX_REST_MS = 1000;

/** The place of one login that may be checked now; `end` must be called. */
export interface Turn {
  /** Frees the place. `guessMs`: how long it took to find the login wrong; then the place first rests, unused. */
  end(guessMs?: number): void;
}

interface Waiting {
  readonly begin: (turn: Turn | undefined) => void;
  readonly isOver: () => boolean;
}

export class Passwords {
  /**
   * By charger id: the password last found right, as a keyed digest, and its hash. It needs no new derivation while
   * this process runs.
   */
  readonly #known = new Map<string, { readonly hash: string; readonly digest: Buffer }>();
  readonly #key = randomBytes(32);
  /**
   * The queues of waiting logins, one for each address, served in turn: an address that sends many logins delays only
   * its own.
   */
  readonly #waiting = new Map<string, Waiting[]>();
  #waitingCount = 0;
  #free = AT_ONCE;

  constructor(private readonly clock: Clock) {}

  async hash(password: string): Promise<string> {
    const salt = randomBytes(16);
    const derived = await derive(canonical(password), salt, 32, { N: COST, r: 8, p: 1 });
    return `scrypt$${COST}$${salt.toString('base64url')}$${derived.toString('base64url')}`;
  }

  /** Whether this password was the last one found right for that charger; needs no derivation. */
  wasRight(chargerId: string, password: string): boolean {
    const known = this.#known.get(chargerId);
    return known !== undefined && timingSafeEqual(known.digest, this.#digest(known.hash, password));
  }

  /** Whether this password was found right for that hash, which is the charger's present one; needs no derivation. */
  isKnown(chargerId: string, hash: string, password: string): boolean {
    return this.#known.get(chargerId)?.hash === hash && this.wasRight(chargerId, password);
  }

  async isPasswordOf(chargerId: string, hash: string, password: string): Promise<boolean> {
    if (this.isKnown(chargerId, hash, password)) return true;
    const [first = '', ...rest] = hash.split('$').slice(1);
    const [cost, salt = '', expected = ''] =
      rest.length === 2 ? [Number(first), ...rest] : [FIRST_COST, first, ...rest];
    const derived = await derive(password, Buffer.from(salt, 'base64url'), 32, { N: cost, r: 8, p: 1 });
    const hashed = Buffer.from(expected, 'base64url');
    const isRight = hashed.length === derived.length && timingSafeEqual(derived, hashed);
    if (isRight) this.#known.set(chargerId, { hash, digest: this.#digest(hash, password) });
    return isRight;
  }

  /**
   * Waits for one of the AT_ONCE places in which logins are checked. Undefined if too many logins wait, or if nobody
   * needs this one when its turn comes (`isOver`).
   */
  async turn(from: string, isOver: () => boolean): Promise<Turn | undefined> {
    if (this.#free > 0) return this.#take();
    if (this.#waitingCount >= MAX_WAITING && !this.#makeRoom(from)) return undefined;
    return new Promise((begin) => {
      const line = this.#waiting.get(from) ?? [];
      line.push({ begin, isOver });
      this.#waiting.set(from, line);
      this.#waitingCount += 1;
    });
  }

  /**
   * Evicts the last waiter of the longest queue, so that one address cannot fill all places. False if the queue of
   * `from` would be as long.
   */
  #makeRoom(from: string): boolean {
    let longest: Waiting[] = [];
    for (const line of this.#waiting.values()) if (line.length > longest.length) longest = line;
    if (longest.length <= (this.#waiting.get(from)?.length ?? 0) + 1) return false;
    longest.pop()?.begin(undefined);
    this.#waitingCount -= 1;
    return true;
  }

  #take(): Turn {
    this.#free -= 1;
    let isEnded = false;
    return {
      end: (guessMs = 0) => {
        if (isEnded) return;
        isEnded = true;
        if (guessMs > 0) void this.#rest(guessMs);
        else this.#giveOn();
      },
    };
  }

  async #rest(guessMs: number): Promise<void> {
    await pause(this.clock, Math.min(MAX_REST_MS, REST_AFTER_WRONG * guessMs));
    this.#giveOn();
  }

  /** Gives the freed place to the next login that is not over. */
  #giveOn(): void {
    this.#free += 1;
    for (let next = this.#next(); next; next = this.#next()) {
      if (!next.isOver()) {
        next.begin(this.#take());
        return;
      }
      next.begin(undefined);
    }
  }

  /** The first login of the queue whose turn it is. */
  #next(): Waiting | undefined {
    for (const [from, line] of this.#waiting) {
      const next = line.shift();
      this.#waiting.delete(from);
      if (!next) continue;
      if (line.length > 0) this.#waiting.set(from, line); // Moved to the end of the map: the other queues come first.
      this.#waitingCount -= 1;
      return next;
    }
    return undefined;
  }

  #digest(hash: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(hash).update('\0').update(password).digest();
  }
}

const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
/** A length that both versions accept: 1.6 takes 16 to 20 bytes, 2.x 16 to 40 characters. It gives 116 random bits. */
const LENGTH = 20;

export const newPassword = (): string =>
  Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');

/** 16 to 20 bytes in hexadecimal digits, the format of 1.6's AuthorizationKey. */
const DIGITS = /^([0-9a-fA-F]{2}){16,20}$/;

/** Hexadecimal digits mean the same in either case, so they are hashed in upper case. */
const canonical = (password: string): string => (DIGITS.test(password) ? password.toUpperCase() : password);

/**
 * The passwords that the bytes from a charger may stand for, the likeliest first. 1.6 delivers a password as
 * hexadecimal digits: some chargers send those digits, and a password that was saved here as digits may come as the
 * bytes they stand for.
 */
export function readingsOf(sent: Buffer): readonly string[] {
  const text = sent.toString();
  const readings = Buffer.from(text).equals(sent) ? [canonical(text)] : [];
  if (DIGITS.test(text)) readings.push(Buffer.from(text, 'hex').toString('latin1'));
  if (sent.length >= 16 && sent.length <= 20) readings.push(sent.toString('hex').toUpperCase());
  return readings;
}
