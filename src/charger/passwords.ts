// Chargers' passwords: kept as slow hashes, which are derived off the event loop and few at a time, so that a thousand
// chargers that come back at once, or somebody who guesses, do not take the machine from everybody else.
import { createHmac, randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Clock, pause } from '../common/clock.ts';

const derive = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: object,
) => Promise<Buffer>;

/** 8 MB and some 20 ms each. */
const COST = 8192;
const AT_ONCE = 2;
/** Of those that wait; the next is told to come back. */
const MAX_WAITING = 5000;
/** After a wrong password, for so many times as long as it took to find out: guessing gets a tenth of a core. */
const REST_AFTER_WRONG = 9;

/** More logins than can be checked: come back. */
export class TooManyLogins extends Error {
  override readonly name = 'TooManyLogins';
}

export class Passwords {
  /** By charger: which password was right for which hash. It needs no new derivation while this process runs. */
  readonly #known = new Map<string, Buffer>();
  readonly #key = randomBytes(32);
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(private readonly clock: Clock) {}

  async hash(password: string): Promise<string> {
    const salt = randomBytes(16);
    const derived = await this.#derive(password, salt, COST);
    return `scrypt$${COST}$${salt.toString('base64url')}$${derived.toString('base64url')}`;
  }

  /** Whether any password was found right for that charger before. */
  hasSeen(chargerId: string): boolean {
    return this.#known.has(chargerId);
  }

  /** Without a derivation: whether that password was found right for that charger before. */
  isKnown(chargerId: string, hash: string, password: string): boolean {
    const known = this.#known.get(chargerId);
    return known !== undefined && timingSafeEqual(known, this.#digest(hash, password));
  }

  /** Throws TooManyLogins. */
  async isPasswordOf(chargerId: string, hash: string, password: string): Promise<boolean> {
    if (this.isKnown(chargerId, hash, password)) return true;
    const [, cost = '', salt = '', expected = ''] = hash.split('$');
    const begun = this.clock.now().getTime();
    await this.#enter();
    let isRight = false;
    try {
      const derived = await derive(password, Buffer.from(salt, 'base64url'), 32, { N: Number(cost), r: 8, p: 1 });
      const hashed = Buffer.from(expected, 'base64url');
      isRight = hashed.length === derived.length && timingSafeEqual(derived, hashed);
    } finally {
      if (isRight) this.#leave();
      else void this.#leaveLater(begun);
    }
    if (isRight) this.#known.set(chargerId, this.#digest(hash, password));
    return isRight;
  }

  async #derive(password: string, salt: Buffer, cost: number): Promise<Buffer> {
    await this.#enter();
    try {
      return await derive(password, salt, 32, { N: cost, r: 8, p: 1 });
    } finally {
      this.#leave();
    }
  }

  #digest(hash: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(hash).update('\0').update(password).digest();
  }

  async #enter(): Promise<void> {
    if (this.#running < AT_ONCE) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) throw new TooManyLogins('Too many logins wait to be checked');
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Its place goes to the next. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running -= 1;
  }

  async #leaveLater(begun: number): Promise<void> {
    const tookMs = this.clock.now().getTime() - begun;
    await pause(this.clock, Math.min(1000, REST_AFTER_WRONG * tookMs));
    this.#leave();
  }
}

const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
/** What both fit: 1.6 takes 16 to 20 bytes, 2.x 16 to 40 characters. 116 random bits. */
const LENGTH = 20;

export const newPassword = (): string =>
  Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');

/**
 * What a charger may mean by the bytes it sends. 1.6 gives it its password in hexadecimal digits: some send the digits
 * themselves, and one that was given to both sides as digits may hold bytes that are no text.
 */
export function readingsOf(sent: Buffer): readonly string[] {
  const text = sent.toString();
  const isText = Buffer.from(text).equals(sent);
  if (!isText) return [sent.toString('hex'), sent.toString('hex').toUpperCase()];
  const decoded = /^([0-9a-fA-F]{2}){16,20}$/.test(text) ? Buffer.from(text, 'hex').toString('latin1') : undefined;
  return decoded === undefined ? [text] : [text, decoded];
}
