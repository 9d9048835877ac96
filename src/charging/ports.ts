// The ports of the use cases for chargers' messages: repositories, logins, other nodes.
import type { Background } from '../common/background.ts';
import type { LifecyclePorts } from '../lifecycle/transition.ts';
import type { IdTagRepository } from '../storage/chargers/id-tag.repository.ts';
import type { TransactionRepository } from '../storage/chargers/transaction.repository.ts';
import type { PolicyRepository } from '../storage/sites/policy.repository.ts';
import type { ChargerLogins } from './login/authenticate-charger.ts';
import type { CertificateSigner } from './login/sign-certificate.ts';

export interface ChargingPorts extends LifecyclePorts {
  readonly idTags: IdTagRepository;
  readonly transactions: TransactionRepository;
  readonly policyRows: PolicyRepository;
  readonly logins: ChargerLogins;
  readonly signer: CertificateSigner;
  readonly background: Background;
  readonly nodeId: () => number;
  /** Closes the older socket of the same charger at another node. */
  readonly supersede: (nodeId: number, chargerId: string, epoch: number) => void;
}
