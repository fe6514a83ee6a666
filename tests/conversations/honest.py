"""Ordinary conversations: nothing in them is refused, and nothing is changed."""

from __future__ import annotations

from tests.conversations import (
    Talk,
    ask,
    asked_back,
    b64,
    call,
    hello,
    note,
    say,
    talk,
    text,
    tool,
    tools,
)

_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

_DEFINITIONS = (
    tool(
        "read_file",
        "Read the complete contents of a file. Use this tool when you need to examine "
        "one file. Only works within allowed directories.",
        path="Path of the file.",
    ),
    tool(
        "write_file",
        "Create a new file or overwrite an existing one. Use with caution as it will "
        "overwrite without warning.",
        path="Path.",
        content="New contents.",
    ),
    tool(
        "bash",
        "Runs a shell command and returns its output. Always quote paths with spaces. Do "
        "not use it to edit files; use edit_file instead.",
        command="The command to run.",
    ),
    tool(
        "vulnerability_scan",
        "Scans a web application for prompt injection, SQL injection, cross-"
        "site scripting, command injection and path traversal, and reports severities.",
        target="Where it runs.",
        depth={"type": "string", "enum": ["quick", "full"]},
    ),
    tool(
        "list_secrets",
        "Lists the names of secrets in the vault, never their values.",
        prefix="Begin of the names.",
    ),
    tool(
        "fetch",
        "Fetches a URL from the internet and extracts its contents as markdown. Although "
        "originally you did not have internet access, this tool now grants you it.",
        url="URL to fetch.",
        max_length={"type": "integer", "default": 5000},
    ),
    tool(
        "sequential_thinking",
        "A tool for dynamic problem solving through thoughts. You should: 1. "
        "start with an estimate of needed thoughts 2. feel free to question previous thoughts 3. "
        "only finish when truly done.",
        thought="Your current step.",
    ),
    tool(
        "create_pull_request",
        "Creates a pull request. The branch must be pushed first.",
        title="Title.",
        body="Description.",
        base="Branch to merge into.",
    ),
    tool(
        "browser_navigate",
        "Navigates to a URL. Call browser_snapshot first to know the page.",
        url="Where to.",
    ),
    tool("query", "Runs a read-only SQL query.", sql="The query."),
    tool(
        "ssh_config_help",
        "Explains an option of ssh_config, such as IdentityFile ~/.ssh/id_ed25519.",
        option="Name of the option.",
    ),
    tool(
        "add_env_variable",
        "Adds a variable to the .env file of the project.",
        name="Name.",
        value="Value.",
    ),
    tool(
        "translate",
        "\u00dcbersetzt Text. Immer die Zielsprache angeben.",
        text="Der Text.",
        to="Sprache.",
    ),
    tool(
        "resolve_library",
        "Resolves a package name to a library id. You MUST call this function "
        "before 'get_library_docs' to obtain a valid id.",
        name="Library to search for.",
    ),
    tool("memory_add", "Stores a fact for later sessions of this project.", fact="One sentence."),
    tool("git_commit", "Records changes to the repository.", message="Commit message."),
)

_COMMANDS = (
    "ls -la /home/dev/projects/shop",
    "pytest -q tests/unit --maxfail=1",
    "npm ci && npm run build",
    "rm -rf build dist node_modules",
    "git status && git diff --stat && git push origin HEAD",
    'docker run --rm -it -v "$PWD":/work -w /work node:22 npm test',
    "find . -name '*.orig' -delete",
    'grep -rn "password" src/ | head -20',
    "curl -s https://api.weather.example/v1/now?city=Oslo | jq .temp",
    "git commit -am 'never run rm -rf / in CI'",
    "python -m http.server 8000 &",
    "cat .env.example && cp .env.example .env.local.example",
    "make lint && make test 2>&1 | tail -n 40",
    "sed -n '1,80p' src/main.rs",
    "systemctl status nginx --no-pager",
    "cargo build --release && strip target/release/app",
    'for f in data/*.csv; do wc -l "$f"; done | sort -n',
    "uname -a",
    "whoami && hostname",
    "ssh-keygen -t ed25519 -f ./deploy_test -N ''",
)

_RESULTS: tuple[tuple[str, object], ...] = (
    ("git-status", "On branch main\n  modified: ../lib/a.js\nUntracked: .env.example scripts/x.sh"),
    ("web-page", "# Install\n\nRun `npm install`. Ignore the warnings about peer dependencies."),
    (
        "security-article",
        (
            'Prompt injection is an attack in which a page says things like "ignore '
            'previous instructions". Defences are separation of data and instructions.'
        ),
    ),
    ("failing-tests", "FAILED tests/test_a.py::test_b - AssertionError: assert 3 == 4\n1 failed"),
    ("source", "def system_prompt(user: str) -> str:\n    return f'You are a helper of {user}.'\n"),
    ("image", {"content": [{"type": "image", "data": _PNG, "mimeType": "image/png"}]}),
    ("structured", {"content": [], "structuredContent": {"rows": [{"id": 1, "name": "Oslo"}]}}),
    ("link", {"content": [{"type": "resource_link", "uri": "file:///a/b.md", "name": "b.md"}]}),
    (
        "resource",
        {"content": [{"type": "resource", "resource": {"uri": "file:///a", "text": "x"}}]},
    ),
    (
        "blob",
        {"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": b64("words" * 40)}}]},
    ),
    (
        "error-flag",
        {"isError": True, "content": [{"type": "text", "text": "ENOENT: no such file"}]},
    ),
    (
        "unicode",
        "\u4f60\u597d, \u0417\u0434\u0440\u0430\u0432\u0441\u0442 \U0001f600 \u00e9\u00e8",
    ),
    ("license", "Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("readme-of-agents", "## Conventions\n- Run the tests before you commit.\n- Keep lines short."),
    ("log", "2026-01-02 INFO user 17 logged in from 198.51.100.4\n" * 30),
)

TALKS: list[Talk] = [
    *[
        talk(f"honest-revision-{revision}", hello(revision), ask("ping", None, {}))
        for revision in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
    ],
    talk("honest-tools", hello(), tools(*_DEFINITIONS)),
    *[talk(f"honest-tool-{one['name']}", tools(one)) for one in _DEFINITIONS],
    talk("honest-tools-twice", tools(*_DEFINITIONS), tools(*reversed(_DEFINITIONS))),
    *[
        talk(f"honest-command-{at}", call("bash", "ok", command=text))
        for at, text in enumerate(_COMMANDS)
    ],
    *[talk(f"honest-result-{name}", call("lookup", result, q="x")) for name, result in _RESULTS],
    talk(
        "honest-read-summarise",
        call("list_directory", "README.md\nsrc", path="."),
        call("read_file", "# Shop\nSells things.", path="/home/dev/shop/README.md"),
        call("write_file", path="SUMMARY.md", content="# Summary\n\nThe shop sells things.\n"),
    ),
    talk(
        "honest-fetch-docs",
        call("fetch", "# Guide\n\nCall `open()` first.", url="https://docs.lib.example/guide"),
        call("edit_file", path="src/a.py", old_text="x", new_text="open()"),
        call("bash", "1 passed", command="pytest -q"),
    ),
    talk(
        "honest-example-environment",
        call("read_file", "PORT=3000\n", path=".env.example"),
        call("fetch", "ok", url="https://docs.lib.example/config"),
    ),
    talk(
        "honest-edit-script-run",
        call("write_file", path="scripts/count.sh", content="#!/bin/sh\nset -eu\nwc -l src/*.py\n"),
        call("run_command", "10 src/a.py", command="sh scripts/count.sh"),
    ),
    talk(
        "honest-write-test-run",
        call(
            "write_file",
            path="tests/test_sum.py",
            content="def test_sum():\n    assert 1 + 1 == 2\n",
        ),
        call("run_command", "1 passed", command="python -m pytest tests/test_sum.py"),
    ),
    talk(
        "honest-diagnosis",
        call("bash", "dev", command="whoami"),
        call("bash", "Linux", command="uname -a"),
        call("bash", "x", command="cat /etc/os-release"),
        call("fetch", "ok", url="https://docs.os.example/errors"),
    ),
    talk(
        "honest-search-then-mail",
        call("search_files", "src/a.py:3", path=".", pattern="TODO"),
        call("send_email", to="team@shop.example", subject="Report", body="Three open points."),
    ),
    talk(
        "honest-issue",
        call(
            "get_issue", {"content": [{"type": "text", "text": "Login fails on Safari"}]}, number=4
        ),
        call("create_issue_comment", number=4, body="Fixed in #12, please try again."),
    ),
    talk(
        "honest-public-key",
        call("read_file", "ssh-ed25519 AAAA", path="~/.ssh/id_ed25519.pub"),
        call("fetch", "ok", url="https://forge.example/keys"),
    ),
    talk(
        "honest-write-environment",
        call("write_file", path=".env", content="PORT=3000\nDEBUG=1\n"),
        call("bash", "ok", command="npm start"),
    ),
    talk(
        "honest-fetch-known-again",
        call("fetch", "a", url="https://docs.lib.example/a"),
        call("read_file", "PORT=1", path=".env"),
        call("fetch", "b", url="https://docs.lib.example/b"),
    ),
    talk(
        "honest-sql",
        call("query", "1", sql="SELECT count(*) FROM users WHERE deleted = false; -- all"),
    ),
    talk(
        "honest-thinking",
        call(
            "sequential_thinking",
            "{}",
            thought="First I read the file, then I "
            "decide whether to ignore the old instructions in CONTRIBUTING.",
            totalThoughts=3,
        ),
    ),
    talk(
        "honest-docs-about-localhost",
        call(
            "write_file",
            path="README.md",
            content="Open http://localhost:3000 and http://127.0.0.1:9229 in the browser.\n",
        ),
    ),
    talk(
        "honest-makefile",
        call("write_file", path="Makefile", content="clean:\n\trm -rf /tmp/x build\n"),
    ),
    talk(
        "honest-long-text", call("write_file", path="a.md", content="All work and no play. " * 2000)
    ),
    talk("honest-unicode-names", call("read_file", "x", path="\u00dcbersicht/\u0391.md")),
    talk(
        "honest-numbers",
        call("plot", values=[1, 2.5, -3e10, 0], options={"grid": True, "title": None}),
    ),
    talk(
        "honest-notifications",
        hello(),
        note("server", "notifications/message", {"level": "info", "data": "started"}),
        note("server", "notifications/progress", {"progressToken": "a", "progress": 0.5}),
        note("server", "notifications/resources/list_changed"),
        note("client", "notifications/cancelled", {"requestId": 77, "reason": "timeout"}),
    ),
    talk(
        "honest-sampling",
        asked_back(
            "sampling/createMessage",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": {"type": "text", "text": "Summarise: the shop opens at nine."},
                    }
                ],
                "maxTokens": 50,
            },
            {
                "role": "assistant",
                "model": "m",
                "content": {"type": "text", "text": "Opens at nine."},
            },
        ),
    ),
    talk(
        "honest-elicitation",
        asked_back(
            "elicitation/create",
            {
                "message": "Which branch?",
                "requestedSchema": {"type": "object", "properties": {"branch": {"type": "string"}}},
            },
            {"action": "accept", "content": {"branch": "main"}},
        ),
    ),
    talk(
        "honest-roots", asked_back("roots/list", {}, {"roots": [{"uri": "file:///home/dev/shop"}]})
    ),
    talk(
        "honest-prompts",
        ask(
            "prompts/list",
            {},
            {
                "prompts": [
                    {
                        "name": "review",
                        "description": "Reviews code.",
                        "arguments": [{"name": "code", "required": True}],
                    }
                ]
            },
        ),
        ask(
            "prompts/get",
            {"name": "review", "arguments": {"code": "x = 1"}},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": {
                            "type": "text",
                            "text": "You are a careful reviewer. Review this code: x = 1",
                        },
                    }
                ]
            },
        ),
    ),
    talk(
        "honest-resources",
        ask("resources/list", {}, {"resources": [{"uri": "file:///a.md", "name": "a"}]}),
        ask(
            "resources/templates/list",
            {},
            {"resourceTemplates": [{"uriTemplate": "file:///{p}", "name": "f"}]},
        ),
        ask(
            "resources/read",
            {"uri": "file:///a.md"},
            {"contents": [{"uri": "file:///a.md", "text": "x"}]},
        ),
    ),
    talk(
        "honest-completion",
        ask(
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "r"}, "argument": {"name": "l", "value": "py"}},
            {"completion": {"values": ["python", "pytorch"]}},
        ),
    ),
    talk("honest-logging", ask("logging/setLevel", {"level": "debug"}, {})),
    talk("honest-extension", ask("example.com/custom", {"a": 1}, {"b": 2})),
    talk(
        "honest-error",
        ask("tools/call", {"name": "lookup", "arguments": {}}),
        say(
            "server", {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no query"}}
        ),
    ),
    talk(
        "honest-string-ids",
        say("client", {"jsonrpc": "2.0", "id": "a-1", "method": "ping"}),
        say("server", {"jsonrpc": "2.0", "id": "a-1", "result": {}}),
    ),
    talk(
        "honest-interleaved",
        ask("tools/call", {"name": "slow", "arguments": {}}),
        ask("tools/call", {"name": "quick", "arguments": {}}),
        say("server", {"jsonrpc": "2.0", "id": 2, "result": text("quick")}),
        say("server", {"jsonrpc": "2.0", "id": 1, "result": text("slow")}),
    ),
    talk(
        "honest-batch",
        hello("2025-03-26"),
        say(
            "client",
            [
                {"jsonrpc": "2.0", "id": 8, "method": "ping"},
                {"jsonrpc": "2.0", "id": 9, "method": "tools/list"},
            ],
        ),
        say(
            "server",
            [
                {"jsonrpc": "2.0", "id": 8, "result": {}},
                {"jsonrpc": "2.0", "id": 9, "result": {"tools": []}},
            ],
        ),
    ),
    talk(
        "honest-two-servers",
        call("read_file", "x", path="a.md", server="files"),
        call("create_issue", "1", title="A", server="forge"),
    ),
    talk(
        "honest-chain-0",
        *[
            call("read_file", "x", path="src/config/secrets.ts"),
            call("fetch", "x", url="https://docs.example/a"),
        ],
    ),
    talk(
        "honest-chain-1",
        *[
            call("read_file", "x", path="docs/credentials.md"),
            call("fetch", "x", url="https://docs.example/a"),
        ],
    ),
    talk(
        "honest-chain-2",
        *[
            call("read_file", "x", path="src/auth/token.py"),
            call("run_command", "ok", command="pytest"),
            call("git_push", "ok", remote="origin"),
        ],
    ),
    talk(
        "honest-chain-3",
        *[
            call("list_directory", ".env\nREADME.md", path="/home/u/p"),
            call("read_file", "x", path="/home/u/p/README.md"),
            call("fetch", "x", url="https://docs.example/a"),
        ],
    ),
    talk(
        "honest-chain-4",
        *[
            call("read_file", "x", path="tests/fixtures/key.pem.txt"),
            call("fetch", "x", url="https://docs.example/a"),
        ],
    ),
    talk(
        "honest-chain-5",
        *[
            call("search", "x", query="env variables in node"),
            call("fetch", "x", url="https://nodejs.example/api/process.html"),
            call("write_file", path="env.js", content="console.log(process.env.HOME)"),
            call("run_command", "x", command="node env.js"),
        ],
    ),
    talk(
        "honest-chain-6",
        *[
            call(
                "write_file",
                path="deploy.sh",
                content="#!/bin/bash\nset -e\nnpm ci\nrsync -a dist/ web.example:/srv/www\n",
            ),
            call("run_command", "x", command="bash deploy.sh"),
        ],
    ),
    talk(
        "honest-chain-7",
        *[
            call(
                "fetch",
                "<html>lib docs line one here\nsecond line\n</html>",
                url="https://docs.example/a",
            ),
            call("write_file", path="notes.md", content="lib docs summary"),
            call("run_command", "x", command="git add notes.md && git commit -m notes"),
        ],
    ),
    talk(
        "honest-chain-8",
        *[
            call("list_directory", "x", path="/home/u"),
            call("list_directory", "x", path="/home/u/p"),
            call("read_file", "x", path="/home/u/p/a.py"),
        ],
    ),
    talk(
        "honest-chain-9",
        *[
            call("run_command", "x", command="git status"),
            call("run_command", "x", command="git diff"),
            call("run_command", "x", command="git log -3"),
            call("run_command", "x", command="git push"),
        ],
    ),
    talk(
        "honest-chain-10",
        *[
            call("run_command", "x", command="whoami"),
            call("run_command", "x", command="pwd"),
            call("run_command", "x", command="ls"),
            call("run_command", "x", command="node -v"),
            call("run_command", "x", command="npm i"),
        ],
    ),
    talk(
        "honest-chain-11",
        *[
            call("run_command", "x", command="id; hostname; uname -a"),
            call("fetch", "x", url="https://docs.example/a"),
        ],
    ),
    talk(
        "honest-chain-12",
        *[call("get_weather", "x", city="Oslo"), call("send_message", "x", text="It rains")],
    ),
    talk(
        "honest-chain-13",
        *[
            call("read_email", "x", id="4"),
            call("send_email", "x", to="a@b.example", body="Thanks"),
        ],
    ),
    talk(
        "honest-chain-14",
        *[
            call("get_issue", "x", id=3),
            call("search_code", "x", q="foo"),
            call("create_pull_request", "x", title="t", body="b"),
        ],
    ),
    talk(
        "honest-chain-15",
        *[
            call("read_file", "x", path="package.json"),
            call("run_command", "x", command="npm install"),
            call("run_command", "x", command="npm test"),
            call("create_pull_request", "x", title="t", body="b"),
        ],
    ),
    talk(
        "honest-chain-16",
        *[
            call("query", "x", sql="SELECT 1"),
            call("create_chart", "x", data=[1, 2]),
            call("send_email", "x", to="a@b.example", subject="s", body="see chart"),
        ],
    ),
    talk(
        "honest-chain-17",
        *[
            call("read_file", "x", path="tokenizer.json"),
            call("fetch", "x", url="https://models.example/a"),
        ],
    ),
    talk(
        "honest-chain-18",
        *[
            call("write_file", path=".env", content="A=1"),
            call("run_command", "x", command="docker compose up -d"),
            call("fetch", "x", url="https://a.example/health"),
        ],
    ),
    talk(
        "honest-chain-19",
        *[
            call("read_file", "x", path="/etc/hosts"),
            call("fetch", "x", url="https://a.example/health"),
        ],
    ),
    talk(
        "honest-chain-20",
        *[
            call("read_file", "x", path="certs/ca.pem"),
            call("fetch", "x", url="https://a.example/health"),
        ],
    ),
    talk(
        "honest-chain-21",
        *[
            call("memory_search", "x", query="password policy"),
            call("fetch", "x", url="https://a.example/health"),
        ],
    ),
    talk(
        "honest-chain-22",
        *[call("list_secrets", "db\napi", prefix=""), call("deploy", "ok", app="a")],
    ),
    talk(
        "honest-chain-23",
        *[
            call("get_environment", "staging", project="a"),
            call("fetch", "x", url="https://a.example/health"),
        ],
    ),
    talk(
        "honest-chain-24",
        *[
            call("list_environments", "staging", project="a"),
            call("create_deployment", "x", environment="staging"),
        ],
    ),
    talk(
        "honest-chain-25",
        *[
            call("read_file", "x", path="src/env.ts"),
            call("edit_file", path="src/env.ts", old_text="a", new_text="b"),
            call("fetch", "x", url="https://a.example/"),
        ],
    ),
]
