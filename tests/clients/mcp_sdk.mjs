// An agent on the official Node.js SDK of MCP: uses all that a server offers, and tells what came.
// node mcp_sdk.mjs MODULES CALLS COMMAND...: MODULES is a node_modules folder, CALLS is JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, calls, command, ...args] = process.argv.slice(2);
const require = createRequire(`${modules}/none.js`);
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)));
const { Client } = await load("client/index.js");
const { StdioClientTransport } = await load("client/stdio.js");

const client = new Client({ name: "lab", version: "1" }, { capabilities: {} });
const asked = async (what) => {
  try {
    return await what();
  } catch (error) {
    return { error: error.code, message: error.message, data: error.data };
  }
};
await client.connect(new StdioClientTransport({ command, args, stderr: "ignore" }));
const said = { server: client.getServerVersion(), capabilities: client.getServerCapabilities() };
said.tools = await asked(() => client.listTools());
if (said.capabilities.resources) said.resources = await asked(() => client.listResources());
if (said.capabilities.prompts) said.prompts = await asked(() => client.listPrompts());
said.calls = [];
for (const [name, given] of JSON.parse(calls)) {
  said.calls.push(await asked(() => client.callTool({ name, arguments: given })));
}
await client.close();
console.log(JSON.stringify(said));
