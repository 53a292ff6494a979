#!/usr/bin/env python3
"""Tests how scripts/sam_local.py finds a Docker engine and when SAM pulls the base image.

A stand-in for `docker` simulates two engines: the engine of the environment and the engine of scripts/sam-local.sh.

usage: make test-scripts
"""
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import sam_local

DOCKER = """#!/bin/sh
case "$DOCKER_HOST:$1" in
*/sam-local-state/docker.sock:info) exit $OWN_ENGINE ;;
*/sam-local-state/docker.sock:image) exit $OWN_IMAGE ;;
*:info) exit $ENGINE ;;
*:image) [ "$3" = "$EXPECTED_IMAGE" ] && exit $IMAGE ;;
esac
exit 1
"""
YES, NO = "0", "1"
SKIP = ["--skip-pull-image"]


class Pulling(unittest.TestCase):
    def check(self, engine: str, image: str, own_engine: str, own_image: str, docker_host: str | None) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            docker = Path(folder) / "docker"
            docker.write_text(DOCKER)
            docker.chmod(0o755)
            state = f"{folder}/sam-local-state"
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SAM_LOCAL_STATE": state, "ENGINE": engine, "IMAGE": image,
                           "OWN_ENGINE": own_engine, "OWN_IMAGE": own_image, "EXPECTED_IMAGE": sam_local.BASE_IMAGE}
            if docker_host:
                environment["DOCKER_HOST"] = docker_host.format(state=state)
            with mock.patch.dict(os.environ, environment):
                if not docker_host:
                    os.environ.pop("DOCKER_HOST", None)
                return sam_local.pull_options({**os.environ, **sam_local.docker_environment()})

    def test_image_of_the_engine_is_not_pulled_whichever_variable_selects_the_engine(self) -> None:
        self.assertEqual(self.check(NO, NO, YES, YES, None), SKIP)
        self.assertEqual(self.check(NO, NO, YES, YES, "unix://{state}/docker.sock"), SKIP)
        self.assertEqual(self.check(YES, YES, NO, NO, None), SKIP)
        self.assertEqual(self.check(YES, YES, NO, NO, "tcp://127.0.0.1:2375"), SKIP)

    def test_image_that_the_engine_lacks_is_pulled(self) -> None:
        self.assertEqual(self.check(YES, NO, NO, NO, None), [])
        self.assertEqual(self.check(YES, NO, YES, YES, "tcp://127.0.0.1:2375"), [])
        self.assertEqual(self.check(NO, NO, YES, NO, None), [])

    def test_message_without_an_engine_names_the_script_that_starts_one(self) -> None:
        with self.assertRaisesRegex(SystemExit, "sam-local.sh up"):
            self.check(NO, NO, NO, NO, None)


if __name__ == "__main__":
    unittest.main()
