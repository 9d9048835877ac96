// changeChargerPassword: the server generates a password and sends it to the charger over the charger's own connection;
// nobody else gets it.

import { newPassword, type Passwords } from '../charging/login/passwords.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import type { Charger } from '../model/charger/charger.ts';
import type { ChargerCalls, Outcome } from '../model/charger/charger-calls.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import { type Refusal } from '../model/refusals/refusal.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import { offline, refused } from './charger-refusals.ts';

/**
 * A change that was sent to the charger. The old and the new password are both valid until the charger logs in with the
 * new one, so that neither side is locked out.
 */
export interface PasswordChange {
  readonly charger: Charger;
  /** False: no answer came back. The old password stays valid until the charger logs in with the new one. */
  readonly isAccepted: boolean;
}

export type ChangeChargerPassword = (caller: Caller, chargerId: string) => Promise<PasswordChange | Refusal>;
/** Runs at the node that holds the charger's socket, so that the password never travels between nodes. */
export type ChangePasswordHere = (chargerId: string) => Promise<Outcome>;

interface HerePorts {
  readonly chargers: ChargerRepository;
  readonly passwords: Passwords;
  readonly local: () => ChargerCalls & { isConnected(chargerId: string): boolean };
  readonly disconnect: (chargerId: string, reason: string) => void;
}

/**
 * The hash is stored before the password is sent, so that a charger whose answer was lost can log in. Changes of one
 * charger run one after the other: if two crossed, nobody would know which password the charger took last.
 */
export function changePasswordHere({ chargers, passwords, local, disconnect }: HerePorts): ChangePasswordHere {
  const changing = new Map<string, Promise<Outcome>>();
  const change = async (chargerId: string): Promise<Outcome> => {
    if (!local().isConnected(chargerId)) return { type: 'offline' };
    const password = newPassword();
    const hash = await passwords.hash(password);
    await chargers.offerPassword(chargerId, hash);
    const outcome = await local().call(chargerId, { type: 'ChangePassword', password });
    const isTaken = outcome.type === 'answer' && outcome.answer === 'ACCEPTED';
    const isNotTaken = outcome.type === 'offline' || outcome.type === 'call-error' || outcome.type === 'answer';
    if (isTaken) disconnect(chargerId, 'Log in again with the new password');
    else if (isNotTaken) await chargers.withdrawPassword(chargerId, hash);
    return outcome;
  };
  return (chargerId) => {
    const next = (changing.get(chargerId) ?? Promise.resolve()).catch(() => {}).then(() => change(chargerId));
    changing.set(chargerId, next);
    const forget = () => {
      if (changing.get(chargerId) === next) changing.delete(chargerId);
    };
    next.then(forget, forget);
    return next;
  };
}

interface Ports {
  readonly chargers: ChargerRepository;
  /** Runs at the node that holds the charger's socket, which may be another one. */
  readonly changePassword: ChangePasswordHere;
}

export const changeChargerPassword =
  ({ chargers, changePassword }: Ports): ChangeChargerPassword =>
  async (caller, chargerId) => {
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
  };
