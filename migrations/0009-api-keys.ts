import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ApiKeys1764100000009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE api_key (
        id           uuid PRIMARY KEY,
        name         text NOT NULL,
        -- SHA-256 of a secret of 256 random bits, which cannot be guessed: a slow hash would protect nothing more.
        secret_hash  bytea NOT NULL,
        role         text NOT NULL CHECK (role IN ('DRIVER', 'OPERATOR', 'ADMIN')),
        sites        text[] NOT NULL DEFAULT '{}',
        id_tags      text[] NOT NULL DEFAULT '{}',
        groups       text[] NOT NULL DEFAULT '{}',
        scopes       text[] NOT NULL,
        created_at   timestamptz NOT NULL,
        created_by   text NOT NULL,
        expires_at   timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at   timestamptz,
        revoked_by   text
      );
      CREATE INDEX api_key_newest ON api_key (created_at DESC, id DESC);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE api_key');
  }
}
