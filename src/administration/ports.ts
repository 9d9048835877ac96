// The ports of administration: every repository that it changes, and the connections that a change ends.
import type { Passwords } from '../charging/login/passwords.ts';
import type { Clock } from '../common/clock.ts';
import type { ChargerCalls, Outcome } from '../model/charger/charger-calls.ts';
import type { ApiKeyRepository } from '../storage/access/api-key.repository.ts';
import type { CertificateRepository } from '../storage/chargers/certificate.repository.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import type { IdTagRepository } from '../storage/chargers/id-tag.repository.ts';
import type { StrikeRepository } from '../storage/reservations/strike.repository.ts';
import type { KnownPolicies } from '../storage/sites/known-policies.ts';
import type { PolicyRepository } from '../storage/sites/policy.repository.ts';
import type { SiteRepository } from '../storage/sites/site.repository.ts';

export interface AdministrationPorts {
  readonly sites: SiteRepository;
  readonly policyRows: PolicyRepository;
  readonly policies: KnownPolicies;
  readonly chargers: ChargerRepository;
  readonly certificates: CertificateRepository;
  readonly idTags: IdTagRepository;
  readonly strikes: StrikeRepository;
  readonly apiKeys: ApiKeyRepository;
  readonly passwords: Passwords;
  readonly calls: ChargerCalls;
  /** Whether this server signs certificates for chargers. */
  readonly canSign: boolean;
  /** Changes a charger's password at the node that holds its socket, so that no password travels between nodes. */
  readonly changePassword: (chargerId: string) => Promise<Outcome>;
  /** Closes the charger's socket, so that the charger must log in again. */
  readonly disconnect: (chargerId: string, reason: string) => void;
  /** Makes this process look up the API key again. */
  readonly forgetApiKey: (id: string) => void;
  readonly clock: Clock;
}
