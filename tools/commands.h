// The subcommands of the cytograd binary. Each function declares its options and what to do when it is chosen.
#pragma once

namespace CLI {
class App;
}

namespace cytograd {

void add_inspect(CLI::App& app);
void add_synth(CLI::App& app);
void add_fuse(CLI::App& app);
void add_pack(CLI::App& app);
void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_predict(CLI::App& app);
void add_devices(CLI::App& app);

/// Parses the command line and runs the subcommand. Returns the exit code: 0 done, 1 failed, 2 wrong usage.
int run_command_line(int argc, const char* const* argv);

}  // namespace cytograd
