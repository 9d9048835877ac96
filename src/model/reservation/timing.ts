// The times that real chargers need: how late their messages come, how long their states flicker, how far their clocks
// are off.
import { MINUTE_MS } from '../../common/clock.ts';

/** A charger's clock may be slow: a start stamped up to this long before the hold still counts as within it. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * Time for a returning charger to send its offline queue: a transaction start in it may have used an unsettled
 * reservation.
 */
export const DRAIN_MS = 2000;

/**
 * How long a connector state that contradicts a hold must last before the hold is verified: real connectors flicker.
 */
export const DEBOUNCE_MS = 3000;

/** First pause before an unanswered command is tried again; it doubles with each attempt. */
export const RETRY_MS = 2000;

/**
 * Pause before a charger that was not ready for a booking is asked again, unless its connector reports Available first.
 */
export const REACTIVATE_MS = 10_000;

/** How long after its expiry date a charger without a clock, or one that was offline, may keep a reservation. */
export const OUTLIVES_EXPIRY_MS = 24 * 60 * MINUTE_MS;
