#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <string_view>
#include <system_error>

#include "engine/check.h"
#include "tools/commands.h"
#include "tools/help_formatter.h"
#include "tools/option_values.h"

namespace cytograd {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

/// One line, whatever the message quotes: a file's name may hold a line end.
int report(std::string message, int code) {
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  std::fputs(("cytograd: error: " + message + "\n").c_str(), stderr);
  return code;
}

/// Where a standard stream is closed, the next file opened would take its place and get what is meant for it.
void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) < 0) (void)open("/dev/null", O_RDWR);  // gets the lowest free number
  }
}

bool has_subcommand(const CLI::App& app, const std::string& name) {
  return !app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; }).empty();
}

bool is_option_of_app(std::string_view word) {
  return word == "-h" || word == "--help" || word == "--version";
}

/// Which options of the command that was given take less memory.
std::string memory_advice(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands()) {
    for (const char* name : {"--batch", "--crop", "--cache-gib", "--workers"}) {
      if (command->get_option_no_throw(name) != nullptr) names.emplace_back(name);
    }
  }
  return names.empty() ? "" : fmt::format("; a smaller {} takes less", fmt::join(names, ", "));
}

/// What was printed has arrived, or the command has failed.
int finish() {
  if (std::fflush(stdout) != 0)
    return report(fmt::format("the output cannot be written: {}", std::strerror(errno)), kFailed);
  return std::ferror(stdout) == 0 ? 0 : report("the output could not be written, or not all of it", kFailed);
}

/// A mapped file, such as a pack's shard, has been cut short, or its disk fails.
void end_for_lack_of_a_page(int) {
  constexpr std::string_view kMessage =
      "cytograd: error: a file that is in use was cut short, or its disk cannot be read; are packs and weights "
      "as they were?\n";
  static std::atomic_flag is_said;
  if (is_said.test_and_set()) {
    while (true) pause();  // another thread says it, and ends all
  }
  (void)!write(STDERR_FILENO, kMessage.data(), kMessage.size());
  _exit(kFailed);
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  open_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit (ulimit -f) is an error to report, not the end
  std::signal(SIGBUS, end_for_lack_of_a_page);
  CLI::App app{"cytograd trains, evaluates and applies classifiers of multi-channel cell microscopy.",
               "cytograd"};
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // of an option given twice
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "Print this help");
  app.set_version_flag("--version", "cytograd " CYTOGRAD_VERSION, "Print the version");
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 wrong usage. 'cytograd SUBCOMMAND --help' has options, defaults and "
      "an example.");
  app.require_subcommand(1);
  add_inspect(app);
  add_synth(app);
  add_fuse(app);
  add_pack(app);
  add_train(app);
  add_eval(app);
  add_predict(app);
  add_devices(app);
  try {
    if (argc > 1 && argv[1][0] == '-' && !is_option_of_app(argv[1])) {
      throw CLI::ParseError(fmt::format("{} stands before the subcommand; write cytograd SUBCOMMAND {} ...",
                                        in_quotes(argv[1]), std::string_view(argv[1]).substr(0, 40)),
                            CLI::ExitCodes::ExtrasError);
    }
    if (argc > 1 && argv[1][0] != '-' && !has_subcommand(app, argv[1]))
      throw CLI::ExtrasError({fmt::format("'{}' is no subcommand", argv[1])});
    app.parse(argc, argv);
    return finish();
  } catch (const CLI::Success& success) {
    const int code = app.exit(success);  // --help, --version
    std::cout.flush();
    if (!std::cout) return report("the output cannot be written", kFailed);
    return code == 0 ? finish() : code;
  } catch (const CLI::ParseError& error) {
    std::string usage = "cytograd";
    for (const CLI::App* command : app.get_subcommands()) usage += " " + command->get_name();
    return report(fmt::format("{}; see '{} --help'", error.what(), usage), kWrongUsage);
  } catch (const Error& error) {
    return report(error.what(), kFailed);
  } catch (const std::bad_alloc&) {
    return report("there is not enough memory" + memory_advice(app), kFailed);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(fmt::format("{}: {}", error.path1().string(), error.code().message()), kFailed);
  } catch (const std::system_error& error) {
    return report(
        fmt::format("the system refuses: {}; is there a limit on files, memory or threads (ulimit)?",
                    error.what()),
        kFailed);
  } catch (const CheckError& error) {
    return report(fmt::format("this is a mistake of cytograd itself, please report it: {}", error.what()),
                  kFailed);
  } catch (const std::exception& error) {
    return report(error.what(), kFailed);
  }
}

}  // namespace cytograd
