// A receiver of webhooks with nothing but Node's standard library.
//
//     export WEBHOOK_PUBLIC_KEYS=whpk_… RECEIVED=received.jsonl PORT=9000
//     node receiver.mjs
//
// With WEBHOOK_SECRET=whsec_… in place of the keys, or beside them, it also takes signatures by HMAC.
// One process: several need a database with a unique key on the id.

import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const list = (name) => (process.env[name] ?? "").split(",").map((text) => text.trim()).filter(Boolean);
const raw = (text) => Buffer.from(text.slice(text.indexOf("_") + 1), "base64");

// What stands before the 32 bytes of an ed25519 key in DER.
const DER = Buffer.from("302a300506032b6570032100", "hex");
const keys = list("WEBHOOK_PUBLIC_KEYS").map((text) =>
  createPublicKey({ key: Buffer.concat([DER, raw(text)]), format: "der", type: "spki" }),
);
const secrets = list("WEBHOOK_SECRET").map(raw);
if (keys.length + secrets.length === 0) throw new Error("set WEBHOOK_PUBLIC_KEYS or WEBHOOK_SECRET");

const TOLERANCE_S = 300;
const MAX_BYTES = 1024 * 1024;
const file = process.env.RECEIVED ?? "received.jsonl";
const known = new Set(
  existsSync(file)
    ? readFileSync(file, "utf8").split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line).id)
    : [],
);
const log = openSync(file, "a");
writeSync(log, "\n"); // ends a line that a crash has cut off

const right = (version, signature, content) => {
  if (version === "v1a") return signature.length === 64 && keys.some((key) => verify(null, content, key, signature));
  if (version !== "v1" || signature.length !== 32) return false;
  return secrets.some((secret) =>
    timingSafeEqual(createHmac("sha256", secret).update(content).digest(), signature),
  );
};

// The id of a delivery; null if it is not from the fleet.
const verified = (headers, body) => {
  const [id, timestamp] = [headers["webhook-id"] ?? "", headers["webhook-timestamp"] ?? ""];
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id) || !/^[0-9]{1,12}$/.test(timestamp)) return null;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return null;
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const signatures = (headers["webhook-signature"] ?? "").split(" ").slice(0, 16);
  const any = signatures.some((text) => {
    const [version, base64] = text.split(",");
    return right(version, Buffer.from(base64 ?? "", "base64"), content);
  });
  return any ? id : null;
};

// Store a delivery once, on disk before it is acknowledged. Nothing else runs meanwhile.
const receive = (id, body) => {
  if (known.has(id)) return;
  writeSync(log, `${JSON.stringify({ id, event: JSON.parse(body) })}\n`);
  fsyncSync(log);
  known.add(id);
  // Apply the event here: its `type` is `verification.decided`; ignore other types.
};

const server = createServer((request, response) => {
  const answer = (status) => response.writeHead(status).end();
  if (request.method !== "POST" || request.url !== "/") return answer(404);
  const pieces = [];
  let size = 0;
  request.on("data", (piece) => {
    size += piece.length;
    if (size > MAX_BYTES) return request.destroy();
    pieces.push(piece); // the bytes as they arrive, not JSON that was parsed
  });
  request.on("end", () => {
    const body = Buffer.concat(pieces);
    const id = verified(request.headers, body);
    if (id === null) return answer(401);
    receive(id, body);
    answer(204); // for a known id, too
  });
});
server.requestTimeout = 15_000;
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
process.on("SIGTERM", () => server.close(() => closeSync(log)));
