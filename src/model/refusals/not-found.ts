// Refusals for an unknown site, charger or reservation; a caller who may not see it gets the same one.
import type { Refusal } from './refusal.ts';

export interface NotFoundRefusal extends Refusal {
  readonly code: 'SITE_NOT_FOUND' | 'CHARGER_NOT_FOUND' | 'CONNECTOR_NOT_FOUND' | 'RESERVATION_NOT_FOUND';
}

export const siteNotFound = (id: string): NotFoundRefusal => ({
  code: 'SITE_NOT_FOUND',
  message: `There is no site "${id}".`,
});

/** `where` narrows the place that was searched, such as `at site "DEMO"`. */
export const chargerNotFound = (id: string, where?: string): NotFoundRefusal => ({
  code: 'CHARGER_NOT_FOUND',
  message: where === undefined ? `There is no charger "${id}".` : `There is no charger "${id}" ${where}.`,
});

export const reservationNotFound: NotFoundRefusal = {
  code: 'RESERVATION_NOT_FOUND',
  message: 'There is no such reservation.',
};
