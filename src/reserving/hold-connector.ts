// Makes a hold or a booking: reads the facts, decides, stores, and starts over if the facts changed in between. After
// two lost races it locks the guards, so the wait is bounded by the requests ahead.
import { randomUUID } from 'node:crypto';
import { addMs, MINUTE_MS } from '../common/clock.ts';
import { present } from '../common/present.ts';
import type { Caller } from '../model/access/caller.ts';
import { actsForOthers, maySeeSite } from '../model/access/rights.ts';
import { sameId } from '../model/charger/id-tag.ts';
import { type InputRefusal, invalidInput } from '../model/refusals/input.ts';
import { chargerNotFound } from '../model/refusals/not-found.ts';
import {
  type AdmissionFacts,
  type AdmissionRefusal,
  admit,
  chooseConnector,
  type DatedWish,
  enforcementOf,
  type HoldWish,
  type OtherHold,
  reservationIdInUse,
  victimsOf,
} from '../model/reservation/admission.ts';
import { type NotSettledRefusal, notSettled } from '../model/reservation/refusals.ts';
import { apply, type Reservation } from '../model/reservation/reservation.ts';
import { isReReservation } from '../model/site/decide.ts';
import type { Sql } from '../storage/database.ts';
import { type HoldStore, holdStore, type NewReservation } from '../storage/reservations/hold.repository.ts';
import { advanceReservation } from '../storage/reservations/reservation.repository.ts';
import { readFacts } from './admission-facts.ts';
import type { ReservingPorts } from './ports.ts';

export type HoldRefusal = AdmissionRefusal | InputRefusal | NotSettledRefusal;

/** The holds that must end before this one can be made; empty if they have changed and must be determined again. */
export interface InTheWay {
  readonly victims: readonly OtherHold[];
}

type Made = Reservation | HoldRefusal | InTheWay | 'IDEMPOTENCY_KEY_USED';

/** Attempts without a lock; later ones lock the guards. */
const FREE_ROUNDS = 2;

export const isInTheWay = (made: Made): made is InTheWay => typeof made === 'object' && 'victims' in made;

/**
 * Returns the stored reservation: PENDING, or SCHEDULED for a booking. `ended` are victims that their charger has
 * released: they end in the same transaction, so that nobody else takes the connector in between.
 */
export async function holdConnector(
  ports: ReservingPorts,
  caller: Caller,
  wish: HoldWish,
  ended: readonly Reservation[] = [],
): Promise<Made> {
  const now = ports.clock.now();
  let keys: readonly string[] = [];
  for (let round = 0; ; round += 1) {
    const attempt = (store: HoldStore, sql?: Sql) => decideAndStore(ports, caller, wish, { now, ended, store, sql });
    const isLocked = keys.length > 0 && (round >= FREE_ROUNDS || ended.length > 0);
    const made = isLocked
      ? await ports.holds.underLock(keys, (sql) => attempt(holdStore(sql), sql)).catch(onlyUndone)
      : await attempt(ports.holds);
    if (made === 'VICTIM_CHANGED') return { victims: [] };
    if (typeof made === 'object' && 'guardKeys' in made) {
      keys = made.guardKeys;
      continue;
    }
    if (typeof made === 'object' && 'status' in made) {
      ports.announce();
      ports.wakeSettler(made.status === 'SCHEDULED' ? made.startsAt : made.expiryDate);
    }
    return made;
  }
}

/** The facts changed, or the guards must be locked first: start over. */
interface Again {
  readonly guardKeys: readonly string[];
}

/** Thrown to roll back the transaction, and with it the ends of the victims. */
class Undone extends Error {
  constructor(readonly why: Again | 'VICTIM_CHANGED') {
    super('The hold was not stored');
  }
}
function onlyUndone(error: unknown): Again | 'VICTIM_CHANGED' {
  if (error instanceof Undone) return error.why;
  throw error;
}

interface Attempt {
  readonly now: Date;
  /** The victims that end in the same transaction. */
  readonly ended: readonly Reservation[];
  readonly store: HoldStore;
  /** The transaction that holds the locks of the guards; undefined in an attempt without them. */
  readonly sql: Sql | undefined;
}

async function decideAndStore(
  ports: ReservingPorts,
  caller: Caller,
  wish: HoldWish,
  { now, ended, store, sql }: Attempt,
): Promise<Made | Again> {
  const { chargerId, parentIdTag, idTag, movedFrom } = wish;
  const known = await readFacts(store, ports.policies, wish, now, sql);
  if (!known || !maySeeSite(caller, known.facts.siteId)) return chargerNotFound(chargerId);
  if (movedFrom && movedFrom.siteId !== known.facts.siteId) return chargerNotFound(chargerId);
  // The settler (actor SERVER) may move a reservation that it has claimed itself.
  const isMovable = known.isHolding && (!known.isClaimed || wish.actor === 'SERVER');
  if (movedFrom && !isMovable) return notSettled(movedFrom);
  const again = { guardKeys: [...known.guards.keys()] };
  if (ended.length > 0 && !sql) return again;
  const isOwnGroup = idTag === undefined || sameId(parentIdTag, known.facts.idTag?.parentIdTag);
  if (parentIdTag !== undefined && !actsForOthers(caller) && !isOwnGroup) {
    return invalidInput('parentIdTag', `"${parentIdTag}" is not the parentIdTag of "${idTag}".`);
  }
  const facts = { ...known.facts, holds: known.facts.holds.filter(({ id }) => !ended.some((one) => one.id === id)) };
  const request = chooseConnector(facts, { ...wish, expiryDate: known.expiryDate });
  const refusal = admit(facts, request, now);
  if (refusal?.code === 'RESERVED' && wish.preempt) {
    const victims = victimsOf(facts, request);
    // Returns any other refusal first, so that no hold ends for a request that fails anyway.
    const rest = victims && { ...facts, holds: facts.holds.filter((hold) => !victims.includes(hold)) };
    return rest ? (admit(rest, request, now) ?? { victims }) : refusal;
  }
  if (refusal) return refusal;
  if (sql) for (const one of ended) await end(sql, one, caller, now);
  const made = await store.insert(toNew(ports, caller, request, facts, now), known.guards);
  if (typeof made === 'object') return made;
  if (sql && ended.length > 0) throw new Undone(again);
  switch (made) {
    case 'IDEMPOTENCY_KEY_USED':
      return made;
    case 'RESERVATION_ID_IN_USE':
      return reservationIdInUse(chargerId, wish.reservationId ?? 0);
    case 'BEING_MOVED':
      return notSettled(movedFrom as Reservation);
    case 'FACTS_CHANGED':
    case 'CONNECTOR_HELD':
      return again;
    default:
      return made satisfies never;
  }
}

function toNew(
  { callLeaseMs }: ReservingPorts,
  caller: Caller,
  wish: DatedWish,
  facts: AdmissionFacts,
  now: Date,
): NewReservation {
  const { movedFrom, actor = caller.role, ...wanted } = wish;
  const { startsAt, expiryDate, isBooking } = wanted;
  const { policy } = facts;
  const begins = Math.max(startsAt.getTime(), now.getTime());
  const activateUntil = Math.min(begins + policy.activationTimeoutMinutes * MINUTE_MS, expiryDate.getTime());
  const leaseUntil = addMs(now, callLeaseMs);
  return {
    ...wanted,
    id: randomUUID(),
    status: isBooking ? 'SCHEDULED' : 'PENDING',
    tokenType: facts.idTag?.tokenType ?? (wish.idTag === undefined ? 'CENTRAL' : 'ISO14443'),
    policyVersion: facts.policyVersion,
    createdAt: now,
    createdBy: movedFrom?.createdBy ?? caller.subject,
    actor,
    enforcement: enforcementOf(facts),
    // If this process dies, the settler takes over when the lease ends: it settles the hold, or finishes the move.
    dueAt: isBooking && (!movedFrom || startsAt < leaseUntil) ? startsAt : leaseUntil,
    isBooking: movedFrom?.isBooking ?? isBooking,
    isReReservation: movedFrom ? movedFrom.isReReservation : isReReservation(policy, facts.lastUnusedEnd, now),
    extensions: movedFrom?.extensions ?? 0,
    ...present({
      holderGroup: facts.group,
      activateUntil: isBooking ? new Date(activateUntil) : undefined,
      noShowMinutes: policy.noShowTimeoutMinutes,
      noticeMinutes: policy.endingNoticeMinutes,
      movedFrom: movedFrom?.id,
    }),
  };
}

/** Ends a victim in the transaction that stores the new hold; a victim that changed meanwhile rolls both back. */
async function end(sql: Sql, victim: Reservation, { role }: Caller, at: Date): Promise<void> {
  // A victim that was already being cancelled keeps its reason.
  const happening =
    victim.status === 'SCHEDULED'
      ? ({ type: 'cancel-requested', reason: 'PREEMPTED' } as const)
      : ({ type: 'released', reason: victim.status === 'CANCELLING' ? victim.reason : 'PREEMPTED' } as const);
  const next = apply(victim, happening, at);
  const isStored =
    next &&
    (await advanceReservation(sql, victim, next, { type: 'CANCELLED', actor: role, at }, { isReleaseOwed: false }));
  if (!isStored) throw new Undone('VICTIM_CHANGED');
}
