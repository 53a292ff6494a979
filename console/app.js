// Shows that the service answers.

const state = document.getElementById("state");
state.textContent = "The API is at " + new URL("/api/2.0/openapi.json", location.href).href + ".";
