// Makes what chargers connect to: logins, the gateway, and the ports of their messages.
import { readFile } from 'node:fs/promises';
import { ChargerLogins } from '../charging/login/authenticate-charger.ts';
import { type CertificateAuthority, certificateAuthority } from '../charging/login/certificate-authority.ts';
import { Passwords } from '../charging/login/passwords.ts';
import { CertificateSigner } from '../charging/login/sign-certificate.ts';
import type { ChargingPorts } from '../charging/ports.ts';
import type { Background } from '../common/background.ts';
import type { TrustProxy } from '../common/client-address.ts';
import type { Clock } from '../common/clock.ts';
import type { Metrics } from '../common/metrics.ts';
import type { LifecyclePorts } from '../lifecycle/transition.ts';
import { Gateway } from '../ocpp/gateway.ts';
import type { Config } from './config.ts';
import type { Nodes } from './nodes.ts';
import type { Storage } from './storage.ts';

interface Ports {
  readonly storage: Storage;
  readonly nodes: Nodes;
  readonly lifecycle: LifecyclePorts;
  readonly background: Background;
  readonly metrics: Metrics;
  readonly trustProxy: TrustProxy;
}

/** Throws if a file of the certificate authority cannot be read. */
export async function openGateway(config: Config, ports: Ports) {
  const { storage, nodes, lifecycle, background, metrics, trustProxy } = ports;
  const { clock, log } = lifecycle;
  const { calls, nodeId, supersede } = nodes;
  const authority = config.ocpp.authority && (await readAuthority(config.ocpp.authority, clock));
  const passwords = new Passwords(clock);
  const charging: ChargingPorts = {
    ...storage,
    ...lifecycle,
    logins: new ChargerLogins({ ...storage, passwords, clock, metrics }),
    signer: new CertificateSigner({ ...storage, authority, calls, background, clock, log }),
    background,
    nodeId,
    supersede,
  };
  const { answerTimeoutMs, heartbeatIntervalSeconds, livenessMs, ocpp } = config;
  const gateway = new Gateway({
    charging,
    clock,
    log,
    metrics,
    answerTimeoutMs,
    heartbeatIntervalSeconds,
    livenessMs,
    trustProxy,
    doors: ocpp,
    isBehindTls: ocpp.isBehindTls,
  });
  metrics.gauge('connected_chargers', 'Chargers whose sockets are open on this node', () => gateway.connectedChargers);
  return { charging, gateway, passwords, canSign: authority !== undefined };
}

async function readAuthority(
  { certificateFile, keyFile, validMs }: NonNullable<Config['ocpp']['authority']>,
  clock: Clock,
): Promise<CertificateAuthority> {
  const [certificatePem, keyPem] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')]);
  return certificateAuthority({ certificatePem, keyPem, validMs, clock });
}
