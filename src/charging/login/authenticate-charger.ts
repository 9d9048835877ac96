// Authenticates a charger that connects, by OCPP's security profiles: 1, a password over a private network; 2, a
// password over TLS; 3, a certificate. A charger that is set to a profile never gets in by a lower one.
import { networkOf } from '../../common/client-address.ts';
import type { Clock } from '../../common/clock.ts';
import type { Metrics } from '../../common/metrics.ts';
import { type RateLimit, RateLimits } from '../../common/rate-limit.ts';
import type { ClientCertificate } from '../../model/charger/certificate.ts';
import type { LoginProof } from '../../model/charger/login.ts';
import type { CertificateRepository } from '../../storage/chargers/certificate.repository.ts';
import type { ChargerRepository, Credentials } from '../../storage/chargers/charger.repository.ts';
import { type Passwords, readingsOf } from './passwords.ts';

export interface Login {
  readonly chargerId: string;
  /** The bytes as sent; absent unless they came with the charger's id as the user name. */
  readonly password?: Buffer;
  readonly isEncrypted: boolean;
  readonly certificate?: ClientCertificate;
  readonly address: string;
  /** True once nobody needs the verdict: the socket is closed, or the server is stopping. */
  readonly isOver: () => boolean;
}

export type ChargerAuthentication =
  | { readonly verdict: 'ACCEPTED'; readonly proof: LoginProof }
  | { readonly verdict: 'UNKNOWN_CHARGER' | 'WRONG_PASSWORD' | 'WRONG_CERTIFICATE' | 'PROFILE_TOO_LOW' }
  | { readonly verdict: 'TOO_MANY_FAILURES' | 'TOO_MANY_LOGINS'; readonly retryAfterSeconds: number };

interface Ports {
  readonly chargers: ChargerRepository;
  readonly certificates: CertificateRepository;
  readonly passwords: Passwords;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Limit of wrong passwords from one address, which several chargers may share. */
const OF_ADDRESS = { perSecond: 1, burst: 50 };
/**
 * Limit for a charger that was accepted from the same address before: wrong passwords of others there do not lock it
 * out.
 */
const OF_CHARGER = { perSecond: 0.1, burst: 10 };
/**
 * Limit of logins without a password from one address that may read the database; beyond it, each is answered
 * WRONG_PASSWORD without a look-up.
 */
const UNASKED = { perSecond: 20, burst: 500 };
const RETRY_SECONDS = 10;
/**
 * The time charged for a guess at an unknown charger id: a fixed value for one look-up in the database, which takes
 * longer under load.
 */
const LOOK_MS = 1;

export class ChargerLogins {
  readonly #ofAddress = new RateLimits(OF_ADDRESS);
  readonly #ofCharger = new RateLimits(OF_CHARGER);
  readonly #ofUnasked = new RateLimits(UNASKED);
  /** The network from which a charger was last accepted. */
  readonly #cameFrom = new Map<string, string>();

  constructor(private readonly ports: Ports) {}

  async authenticate(login: Login): Promise<ChargerAuthentication> {
    const { clock, metrics } = this.ports;
    const { chargerId } = login;
    const network = networkOf(login.address);
    const isFamiliar = this.#cameFrom.get(chargerId) === network;
    const now = clock.now();
    const failures = isFamiliar ? this.#ofCharger.of(`${network} ${chargerId}`, now) : this.#ofAddress.of(network, now);
    const found = await check(this.ports, login, network, failures, this.#ofUnasked);
    metrics.chargerLogins.inc({ verdict: found.verdict.toLowerCase() });
    if (found.verdict === 'ACCEPTED') this.#cameFrom.set(chargerId, network);
    return found;
  }
}

async function check(
  ports: Ports,
  login: Login,
  network: string,
  failures: RateLimit,
  unasked: RateLimits,
): Promise<ChargerAuthentication> {
  const { passwords, clock } = ports;
  const { chargerId, password, certificate } = login;
  const readings = password ? readingsOf(password) : [];
  const isFamiliar = readings.some((one) => passwords.wasRight(chargerId, one));
  // A charger with a certificate in its own name, or with the password that was last found right, skips the queue.
  if (isFamiliar || certificate?.commonName === chargerId) {
    const found = await checkAtOnce(ports, login, readings);
    if (found) return found;
  }
  // Many chargers send their password only after a 401, so a login without one does not count as a wrong guess.
  if (!password) {
    const now = clock.now();
    const mayLook = unasked.of(network, now).tryTake(now, 1) === 0;
    return (mayLook && (await checkAtOnce(ports, login, readings))) || { verdict: 'WRONG_PASSWORD' };
  }
  // All other logins are checked a few at a time, so that guessing cannot use up the database or the CPU.
  const turn = await passwords.turn(network, login.isOver);
  if (!turn || login.isOver()) {
    turn?.end();
    return { verdict: 'TOO_MANY_LOGINS', retryAfterSeconds: RETRY_SECONDS };
  }
  // Checked only now: logins that arrived together may have used up the limit while this one waited.
  if (failures.left(clock.now()) < 1) {
    turn.end();
    return { verdict: 'TOO_MANY_FAILURES', retryAfterSeconds: RETRY_SECONDS };
  }
  let guessMs = 0;
  try {
    const known = await ports.chargers.credentials(chargerId);
    const begun = clock.now().getTime();
    const found = await checkPassword(ports, login, known, readings);
    if (found.verdict === 'WRONG_PASSWORD') {
      failures.tryTake(clock.now(), 1);
      guessMs = clock.now().getTime() - begun;
    }
    if (found.verdict === 'UNKNOWN_CHARGER') guessMs = LOOK_MS;
    return found;
  } finally {
    turn.end(guessMs);
  }
}

/** Decides without deriving a password hash; undefined if only a derivation can decide. */
async function checkAtOnce(
  { chargers, certificates, passwords, clock }: Ports,
  login: Login,
  readings: readonly string[],
): Promise<ChargerAuthentication | undefined> {
  const { chargerId, certificate } = login;
  const known = await chargers.credentials(chargerId);
  if (!known) return { verdict: 'UNKNOWN_CHARGER' };
  // A certificate with another common name may be the manufacturer's: the password decides.
  if (certificate?.commonName === chargerId) {
    const isGood = await certificates.admit(chargerId, certificate, clock.now());
    if (!isGood) return { verdict: 'WRONG_CERTIFICATE' };
    return { verdict: 'ACCEPTED', proof: { profile: 3, fingerprint: certificate.fingerprint } };
  }
  const tooLow = profileTooLow(login, known);
  if (tooLow) return tooLow;
  const { passwordHash } = known;
  const isKnown = readings.some((one) => passwords.isKnown(chargerId, passwordHash, one));
  return isKnown ? { verdict: 'ACCEPTED', proof: { profile: profileOf(login), passwordHash } } : undefined;
}

async function checkPassword(
  ports: Ports,
  login: Login,
  known: Credentials | undefined,
  readings: readonly string[],
): Promise<ChargerAuthentication> {
  if (!known) return { verdict: 'UNKNOWN_CHARGER' };
  const tooLow = profileTooLow(login, known);
  if (tooLow) return tooLow;
  const passwordHash = await rightHash(ports, login.chargerId, known, readings);
  if (passwordHash === undefined) return { verdict: 'WRONG_PASSWORD' };
  return { verdict: 'ACCEPTED', proof: { profile: profileOf(login), passwordHash } };
}

/** The profile of a login by password. */
const profileOf = ({ isEncrypted }: Login) => (isEncrypted ? 2 : 1);

function profileTooLow(login: Login, { securityProfile }: Credentials): ChargerAuthentication | undefined {
  if (securityProfile === 3) return { verdict: login.certificate ? 'WRONG_CERTIFICATE' : 'PROFILE_TOO_LOW' };
  return profileOf(login) < securityProfile ? { verdict: 'PROFILE_TOO_LOW' } : undefined;
}

/**
 * The hash that the password matches: the stored one, or an offered one, which then replaces all others. Undefined if
 * none matches.
 */
async function rightHash(
  { chargers, passwords }: Ports,
  chargerId: string,
  { passwordHash, offeredHashes }: Credentials,
  readings: readonly string[],
): Promise<string | undefined> {
  for (const reading of readings) {
    if (await passwords.isPasswordOf(chargerId, passwordHash, reading)) return passwordHash;
    for (const offered of offeredHashes) {
      if (!(await passwords.isPasswordOf(chargerId, offered, reading))) continue;
      await chargers.adoptPassword(chargerId, offered);
      return offered;
    }
  }
  return undefined;
}
