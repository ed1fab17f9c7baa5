#include <cstdio>
#include <exception>

#include "engine/check.h"
#include "tools/commands.h"

namespace cytograd {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

int report(const std::string& message, int code) {
  fmt::print(stderr, "cytograd: error: {}\n", message);
  return code;
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App app{"cytograd trains, evaluates and serves classifiers of multi-channel cell microscopy.",
               "cytograd"};
  app.set_version_flag("--version", "cytograd " CYTOGRAD_VERSION);
  app.require_subcommand(1);
  add_inspect(app);
  add_synth(app);
  add_train(app);
  add_eval(app);
  add_predict(app);
  add_devices(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    std::string usage = "cytograd";
    for (const CLI::App* command : app.get_subcommands()) usage += " " + command->get_name();
    return report(fmt::format("{}; see '{} --help'", error.what(), usage), kWrongUsage);
  } catch (const std::exception& error) {
    return report(error.what(), kFailed);
  }
}

}  // namespace cytograd
