// changeChargerPassword: the server generates a password and sends it to the charger over the charger's own connection;
// nobody else gets it.
import { newPassword, type Passwords } from '../charging/login/passwords.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import type { Charger } from '../model/charger/charger.ts';
import type { ChargerCalls, Outcome } from '../model/charger/charger-calls.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import type { Refusal } from '../model/refusals/refusal.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import { offline, refused } from './charger-refusals.ts';
import type { AdministrationPorts } from './ports.ts';

/**
 * A change that was sent to the charger. The old and the new password are both valid until the charger logs in with the
 * new one, so that neither side is locked out.
 */
export interface PasswordChange {
  readonly charger: Charger;
  /** False: no answer came back. The old password stays valid until the charger logs in with the new one. */
  readonly isAccepted: boolean;
}

interface PasswordPorts {
  readonly chargers: ChargerRepository;
  readonly passwords: Passwords;
  /** The chargers' sockets at this node. */
  readonly gateway: ChargerCalls & { isConnected(chargerId: string): boolean };
  readonly disconnect: (chargerId: string, reason: string) => void;
}

/** Changes passwords at the node that holds the charger's socket. */
export class PasswordChanges {
  readonly #running = new Map<string, Promise<Outcome>>();

  constructor(private readonly ports: PasswordPorts) {}

  /**
   * Changes of one charger run one after the other: if two crossed, nobody would know which password the charger took
   * last.
   */
  change(chargerId: string): Promise<Outcome> {
    const before = this.#running.get(chargerId) ?? Promise.resolve();
    const next = before.catch(() => {}).then(() => this.#send(chargerId));
    this.#running.set(chargerId, next);
    const forget = () => {
      if (this.#running.get(chargerId) === next) this.#running.delete(chargerId);
    };
    next.then(forget, forget);
    return next;
  }

  /** The hash is stored before the password is sent, so that a charger whose answer was lost can log in. */
  async #send(chargerId: string): Promise<Outcome> {
    const { chargers, passwords, gateway, disconnect } = this.ports;
    if (!gateway.isConnected(chargerId)) return { type: 'offline' };
    const password = newPassword();
    const hash = await passwords.hash(password);
    await chargers.offerPassword(chargerId, hash);
    const outcome = await gateway.call(chargerId, { type: 'ChangePassword', password });
    const isTaken = outcome.type === 'answer' && outcome.answer === 'ACCEPTED';
    const isNotTaken = outcome.type === 'offline' || outcome.type === 'call-error' || outcome.type === 'answer';
    if (isTaken) disconnect(chargerId, 'Log in again with the new password');
    else if (isNotTaken) await chargers.withdrawPassword(chargerId, hash);
    return outcome;
  }
}

/** Refuses, with the old password unchanged, if the charger is offline or rejects the change. */
export async function changeChargerPassword(
  ports: AdministrationPorts,
  caller: Caller,
  chargerId: string,
): Promise<PasswordChange | Refusal> {
  const { chargers, changePassword } = ports;

  const [charger] = await chargers.byIds([chargerId]);
  if (!charger || !mayAdministerSite(caller, charger.siteId)) return chargerNotFound(chargerId);
  const outcome = await changePassword(chargerId);
  switch (outcome.type) {
    case 'offline':
      return offline(charger, 'its password is unchanged');
    case 'call-error':
      return refused(chargerId, `It failed with ${outcome.code}; its password is unchanged.`, 'CALL_ERROR');
    case 'answer':
      if (outcome.answer === 'ACCEPTED') return { charger, isAccepted: true };
      return refused(chargerId, 'Its password is unchanged.', 'REJECTED');
    default:
      return { charger, isAccepted: false };
  }
}
