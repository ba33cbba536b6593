// Azurite, and the container that its clients do not make. Anyone may list it, so that a test can look; all else needs the account's key.
"use strict";
const { createHmac } = require("node:crypto");
const http = require("node:http");

const { PORT, BUCKETS, AZURE_STORAGE_ACCOUNT_NAME: account, AZURE_STORAGE_ACCOUNT_KEY: key } = process.env;
process.env.AZURITE_ACCOUNTS = `${account}:${key}`;
process.argv.push("--blobHost", "127.0.0.1", "--blobPort", PORT, "--location", BUCKETS);
process.argv.push("--silent", "--skipApiVersionCheck", "--disableTelemetry");
require("azurite/dist/src/blob/main.js");

const path = `/${account}/state`;

// Put Container, signed with the shared key of the account.
function create() {
  const headers = { "x-ms-blob-public-access": "container", "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-08-06" };
  const canonical = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join("");
  const text = `PUT${"\n".repeat(12)}${canonical}/${account}${path}\nrestype:container`;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(text, "utf8").digest("base64");
  headers.authorization = `SharedKey ${account}:${signature}`;
  const options = { host: "127.0.0.1", port: PORT, method: "PUT", path: `${path}?restype=container`, headers };
  const request = http.request(options, (answer) => {
    answer.resume();
    // 409: it is there since an earlier run
    if (answer.statusCode !== 201 && answer.statusCode !== 409) {
      console.error(`the container was refused with ${answer.statusCode}`);
      process.exit(1);
    }
  });
  request.on("error", () => setTimeout(create, 50));
  request.end();
}

create();
