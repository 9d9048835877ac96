// Checks payloads against the JSON schemas of an OCPP version, compiled at the start for the actions we use.
import { createRequire } from 'node:module';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import type { OcppVersion } from '../../model/charger/charger.ts';
import type { ErrorCode } from './frames.ts';
import { parseTimestamp } from './timestamp.ts';

export interface Violation {
  readonly code: ErrorCode;
  readonly description: string;
}

export interface Validation {
  /** The first violation, or undefined; a message without a schema violates nothing. */
  check(kind: 'request' | 'response', action: string, payload: object): Violation | undefined;
}

type Schema = { $id: string; properties?: Record<string, object> };

const sources: Record<OcppVersion, string> = { '1.6': 'ocpp1_6', '2.0.1': 'ocpp2_0_1', '2.1': 'ocpp2_1' };

/** Payloads of real 1.6 chargers that violate the schema but are accepted. */
const tolerated: Record<string, (schema: Schema) => Schema> = {
  // Some chargers send null for "no reservation".
  'urn:StartTransaction.req': (schema) => ({
    ...schema,
    properties: { ...schema.properties, reservationId: { type: ['integer', 'null'] } },
  }),
};

export function compileValidation(version: OcppVersion, actions: readonly string[]): Validation {
  const require = createRequire(import.meta.url);
  const schemas: Schema[] = require(`ocpp-rpc/lib/schemas/${sources[version]}.json`);
  const ajv = new Ajv({ strict: false, multipleOfPrecision: 6 });
  (addFormats as unknown as (ajv: Ajv) => void)(ajv);
  ajv.addFormat('date-time', (text: string) => parseTimestamp(text) !== undefined);
  const [request, response] = version === '2.1' ? ['Request', 'Response'] : ['.req', '.conf'];
  const compile = (action: string, suffix: string) => {
    const schema = schemas.find(({ $id }) => $id === `urn:${action}${suffix}`);
    if (!schema) return undefined;
    // The `$id` ("urn:Authorize.req") is not a URN and nothing refers to it, so it is dropped.
    const { $id, ...rest } = version === '1.6' ? (tolerated[schema.$id]?.(schema) ?? schema) : schema;
    // Answers may have unknown members at their top level: to reject such an answer would make a known outcome unknown.
    return ajv.compile(suffix === response ? { ...rest, additionalProperties: true } : rest);
  };
  const compiled = new Map<string, { request?: ValidateFunction; response?: ValidateFunction }>();
  for (const action of actions) {
    const pair = { request: compile(action, request ?? ''), response: compile(action, response ?? '') };
    compiled.set(action, pair as { request?: ValidateFunction; response?: ValidateFunction });
  }
  return {
    check(kind, action, payload) {
      const validate = compiled.get(action)?.[kind];
      return !validate || validate(payload) ? undefined : toViolation(validate.errors?.[0]);
    },
  };
}

const codes: Record<string, ErrorCode> = {
  type: 'TypeConstraintViolation',
  required: 'OccurrenceConstraintViolation',
  minItems: 'OccurrenceConstraintViolation',
  maxItems: 'OccurrenceConstraintViolation',
  additionalProperties: 'FormatViolation',
};

function toViolation(error: ErrorObject | undefined): Violation {
  const path = error?.instancePath || '/';
  const extra = (error?.params as { additionalProperty?: string } | undefined)?.additionalProperty;
  const description = `${path} ${error?.message ?? 'is not valid'}${extra ? `: ${extra}` : ''}`;
  return { code: codes[error?.keyword ?? ''] ?? 'PropertyConstraintViolation', description };
}
