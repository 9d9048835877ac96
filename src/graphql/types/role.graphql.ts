// The role of a caller in the API.
import { registerEnumType } from 'type-graphql';
import type { Role } from '../../model/access/caller.ts';

export const RoleEnum: Record<Role, Role> = { DRIVER: 'DRIVER', OPERATOR: 'OPERATOR', ADMIN: 'ADMIN' };
registerEnumType(RoleEnum, {
  name: 'Role',
  description: 'The role of a caller.',
  valuesConfig: {
    DRIVER: { description: 'Reserves with its own idTags, or for its groups.' },
    OPERATOR: { description: 'Administers its own sites and acts for every driver there.' },
    ADMIN: { description: 'Everything.' },
  },
});
