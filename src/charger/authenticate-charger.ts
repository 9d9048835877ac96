// Is this the charger it says it is? OCPP's security profiles: 1, a password over a private network; 2, a password over
// TLS; 3, a certificate. A charger that is set to one never comes in by a lower one.
import { networkOf } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import { RateLimits } from '../common/rate-limit.ts';
import type { CertificateRepository } from './certificate.repository.ts';
import type { ClientCertificate } from './certificate.ts';
import type { ChargerRepository } from './charger.repository.ts';
import type { SecurityProfile } from './charger.ts';
import { type Passwords, readingsOf, TooManyLogins } from './passwords.ts';

export interface Login {
  readonly chargerId: string;
  /** As it came, where it came with the charger's id as its user. */
  readonly password?: Buffer;
  readonly isEncrypted: boolean;
  readonly certificate?: ClientCertificate;
  readonly address: string;
}

export type ChargerAuthentication =
  | { readonly verdict: 'ACCEPTED'; readonly profile: SecurityProfile }
  | { readonly verdict: 'UNKNOWN_CHARGER' | 'WRONG_PASSWORD' | 'WRONG_CERTIFICATE' | 'PROFILE_TOO_LOW' }
  | { readonly verdict: 'TOO_MANY_FAILURES' | 'TOO_MANY_LOGINS'; readonly retryAfterSeconds: number };
export type AuthenticateCharger = (login: Login) => Promise<ChargerAuthentication>;

interface Ports {
  readonly chargers: ChargerRepository;
  readonly certificates: CertificateRepository;
  readonly passwords: Passwords;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Of one address; several chargers may stand behind it. */
const FAILURES = { perSecond: 1, burst: 50 };
const RETRY_SECONDS = 10;

export function authenticateCharger(ports: Ports): AuthenticateCharger {
  const failures = new RateLimits(FAILURES);
  return async (login) => {
    const { clock, metrics } = ports;
    const now = clock.now();
    const ofAddress = failures.of(networkOf(login.address), now);
    const found = await check(ports, login, ofAddress.left(now) < 1);
    metrics.chargerLogins.inc({ verdict: found.verdict.toLowerCase() });
    if (found.verdict !== 'ACCEPTED') ofAddress.tryTake(now, 1);
    return found;
  };
}

/** `isSlowed`: bad logins came from the address; only what needs no derivation is looked at. */
async function check(ports: Ports, login: Login, isSlowed: boolean): Promise<ChargerAuthentication> {
  const { chargers, passwords } = ports;
  const { chargerId, password, isEncrypted, certificate } = login;
  if (isSlowed && !certificate && !passwords.hasSeen(chargerId)) return tooManyFailures;
  const known = await chargers.credentials(chargerId);
  if (!known) return { verdict: 'UNKNOWN_CHARGER' };
  const { securityProfile, passwordHash, nextPasswordHash } = known;
  // A certificate that names nobody here may be the maker's: the charger is asked for its password.
  if (certificate?.commonName === chargerId) {
    const isGood = await ports.certificates.admit(chargerId, certificate, ports.clock.now());
    return isGood ? { verdict: 'ACCEPTED', profile: 3 } : { verdict: 'WRONG_CERTIFICATE' };
  }
  if (securityProfile === 3) return { verdict: certificate ? 'WRONG_CERTIFICATE' : 'PROFILE_TOO_LOW' };
  const profile = isEncrypted ? 2 : 1;
  if (profile < securityProfile) return { verdict: 'PROFILE_TOO_LOW' };
  if (!password) return { verdict: 'WRONG_PASSWORD' };
  const readings = readingsOf(password);
  const isKnown = readings.some((one) => passwords.isKnown(chargerId, passwordHash, one));
  if (isSlowed && !isKnown) return tooManyFailures;
  try {
    for (const reading of readings) {
      if (await passwords.isPasswordOf(chargerId, passwordHash, reading)) return { verdict: 'ACCEPTED', profile };
      if (nextPasswordHash === undefined) continue;
      if (!(await passwords.isPasswordOf(chargerId, nextPasswordHash, reading))) continue;
      // It has taken the new one: the old one is not good any more.
      await chargers.adoptPassword(chargerId, nextPasswordHash);
      return { verdict: 'ACCEPTED', profile };
    }
  } catch (error) {
    if (!(error instanceof TooManyLogins)) throw error;
    return { verdict: 'TOO_MANY_LOGINS', retryAfterSeconds: RETRY_SECONDS };
  }
  return { verdict: 'WRONG_PASSWORD' };
}

const tooManyFailures = { verdict: 'TOO_MANY_FAILURES', retryAfterSeconds: RETRY_SECONDS } as const;
