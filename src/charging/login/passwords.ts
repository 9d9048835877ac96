// Chargers' passwords: kept as slow hashes, which are derived off the event loop and few at a time, so that a thousand
// chargers that come back at once, or somebody who guesses, do not take the machine from everybody else.
import { createHmac, randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Clock, pause } from '../../common/clock.ts';

const derive = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: object,
) => Promise<Buffer>;

/** 8 MB and some 20 ms each; a password has 16 characters at least. */
const COST = 8192;
/** Of hashes that do not tell theirs. */
const FIRST_COST = 4096;
const AT_ONCE = 2;
/** Of logins that wait to be checked; the next is told to come back. */
const MAX_WAITING = 5000;
/** So many times as long as it took to find a login wrong: guessing gets a fifth of a core. */
const REST_AFTER_WRONG = 9;
const MAX_REST_MS = 1000;

/** A login whose turn has come. */
export interface Turn {
  /** `guessMs`: how long it took to find the login wrong; nobody else has its place for a while. */
  end(guessMs?: number): void;
}

interface Waiting {
  readonly begin: (turn: Turn | undefined) => void;
  readonly isOver: () => boolean;
}

export class Passwords {
  /** By charger: which password was right for which hash. It needs no new derivation while this process runs. */
  readonly #known = new Map<string, { readonly hash: string; readonly digest: Buffer }>();
  readonly #key = randomBytes(32);
  /** By whom they come from, each in its turn: who sends many logins waits for its own. */
  readonly #waiting = new Map<string, Waiting[]>();
  #waitingCount = 0;
  #free = AT_ONCE;

  constructor(private readonly clock: Clock) {}

  async hash(password: string): Promise<string> {
    const salt = randomBytes(16);
    const derived = await derive(canonical(password), salt, 32, { N: COST, r: 8, p: 1 });
    return `scrypt$${COST}$${salt.toString('base64url')}$${derived.toString('base64url')}`;
  }

  /** Without a derivation: whether that password was found right for that charger before. */
  wasRight(chargerId: string, password: string): boolean {
    const known = this.#known.get(chargerId);
    return known !== undefined && timingSafeEqual(known.digest, this.#digest(known.hash, password));
  }

  /** The same, and whether it is so still. */
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

  /** One of the few places in which logins are checked; undefined: too many wait, or nobody waits for it any more (`isOver`). */
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

  /** At the end of the longest line, for one that is shorter: whoever fills the place waits no longer for it than others. */
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

  /** To the next login that somebody waits for. */
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

  /** Each line in its turn. */
  #next(): Waiting | undefined {
    for (const [from, line] of this.#waiting) {
      const next = line.shift();
      this.#waiting.delete(from);
      if (!next) continue;
      if (line.length > 0) this.#waiting.set(from, line); // Behind all the others.
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
/** What both fit: 1.6 takes 16 to 20 bytes, 2.x 16 to 40 characters. 116 random bits. */
const LENGTH = 20;

export const newPassword = (): string =>
  Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');

/** 16 to 20 bytes in hexadecimal digits, as 1.6 has its AuthorizationKey. */
const DIGITS = /^([0-9a-fA-F]{2}){16,20}$/;

/** Digits are the same in either case. */
const canonical = (password: string): string => (DIGITS.test(password) ? password.toUpperCase() : password);

/**
 * What a charger may mean by the bytes it sends, the likeliest first. 1.6 gives it its password in hexadecimal digits: some
 * send the digits themselves, and one that was saved here as digits may come as the bytes they stand for.
 */
export function readingsOf(sent: Buffer): readonly string[] {
  const text = sent.toString();
  const readings = Buffer.from(text).equals(sent) ? [canonical(text)] : [];
  if (DIGITS.test(text)) readings.push(Buffer.from(text, 'hex').toString('latin1'));
  if (sent.length >= 16 && sent.length <= 20) readings.push(sent.toString('hex').toUpperCase());
  return readings;
}
