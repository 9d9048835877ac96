// changeChargerPassword: a new password, made here, given to the charger over its own connection, and told to nobody else.

import { newPassword, type Passwords } from '../charging/login/passwords.ts';
import type { Caller } from '../model/access/caller.ts';
import { mayAdministerSite } from '../model/access/rights.ts';
import type { Charger } from '../model/charger/charger.ts';
import type { ChargerCalls, Outcome } from '../model/charger/charger-calls.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import { type Refusal } from '../model/refusals/refusal.ts';
import type { ChargerRepository } from '../storage/chargers/charger.repository.ts';
import { offline, refused } from './charger-refusals.ts';

/** Until the charger has come with the new password both are good, so that neither side can be locked out. */
export interface PasswordChange {
  readonly charger: Charger;
  /** False: the charger has not answered. Whichever of the two it comes with next decides. */
  readonly isAccepted: boolean;
}

export type ChangeChargerPassword = (caller: Caller, chargerId: string) => Promise<PasswordChange | Refusal>;
/** At the node that holds the charger's socket, so that the password never travels between nodes. */
export type ChangePasswordHere = (chargerId: string) => Promise<Outcome>;

interface HerePorts {
  readonly chargers: ChargerRepository;
  readonly passwords: Passwords;
  readonly local: () => ChargerCalls & { isConnected(chargerId: string): boolean };
  readonly disconnect: (chargerId: string, reason: string) => void;
}

/**
 * Stored before it is sent: a charger that took it and could not say so is let in. One change at a time: of two that cross,
 * nobody could say which the charger took last.
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
    if (isTaken) disconnect(chargerId, 'Come back with the new password');
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
  /** Wherever the charger's socket is. */
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
        return offline(charger, 'it keeps the password that it has');
      case 'call-error':
        return refused(chargerId, `It failed with ${outcome.code}; it keeps the password that it has.`, 'CALL_ERROR');
      case 'answer':
        if (outcome.answer === 'ACCEPTED') return { charger, isAccepted: true };
        return refused(chargerId, 'It keeps the password that it has.', 'REJECTED');
      default:
        return { charger, isAccepted: false };
    }
  };
