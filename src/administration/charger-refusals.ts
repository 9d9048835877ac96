// Refusals for an administrator when the charger is offline or refuses.
import type { Charger } from '../model/charger/charger.ts';
import type { Refusal } from '../model/refusals/refusal.ts';

interface OfflineRefusal extends Refusal {
  readonly code: 'CHARGER_OFFLINE';
  readonly chargerId: string;
  readonly lastSeenAt?: Date;
}
interface ChargerRefusal extends Refusal {
  readonly code: 'CHARGER_REFUSED';
  readonly answer: 'CALL_ERROR' | 'REJECTED';
}

export const offline = ({ id, lastSeenAt }: Charger, consequence: string): OfflineRefusal => ({
  code: 'CHARGER_OFFLINE',
  message: `Charger "${id}" is not connected; ${consequence}.`,
  chargerId: id,
  ...(lastSeenAt && { lastSeenAt }),
});

export const refused = (id: string, consequence: string, answer: ChargerRefusal['answer']): ChargerRefusal => ({
  code: 'CHARGER_REFUSED',
  message: `Charger "${id}" refused. ${consequence}`,
  answer,
});
