#!/usr/bin/perl
# t/025-manuals.t - manual pages: mandoc has nothing to say against them, they tell of every verb and parameter; shell completion offers the same.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
my $build = abs_path($ENV{GATEPOST_BUILD} || "$top/build");
plan skip_all => "no $build/sbin/gatepost" unless -x "$build/sbin/gatepost";

sub slurp { open my $f, '<', $_[0] or die "$_[0]: $!"; local $/; return <$f> }

my @pages = (glob("$top/doc/man/*.[158]"), glob "$build/man/*.[158]");
cmp_ok scalar @pages, '>=', 6, 'pages';
SKIP: {
    skip 'no mandoc', 1 unless grep { -x "$_/mandoc" } split /:/, $ENV{PATH};
    is `mandoc -Tlint -Wwarning @pages 2>&1`, '', 'mandoc finds nothing';
}

my @verbs_of_help = map { /^  ([a-z][a-z-]*) / ? $1 : () } `'$build/sbin/gatepost' --help`;
my $gatepost = slurp("$build/man/gatepost.1");
cmp_ok scalar @verbs_of_help, '>', 10, 'gatepost --help lists verbs';
is join(' ', grep { $gatepost !~ /^\.It Cm "\Q$_\E"$/m } @verbs_of_help), '', 'gatepost(1) has each';
my $main_cf = slurp("$build/man/gatepost-main.cf.5");
my @parameters = map { slurp($_) =~ /^\t\{ "(\w+)", PARAM_/mg } glob "$top/lib/conf/params_*.c";
is join(' ', grep { $main_cf !~ /^\.It Va "\Q$_\E"$/m } @parameters), '', 'gatepost-main.cf(5) has each parameter';

# What the shell would offer for these words.
sub completed {
    my @words = @_;
    local $ENV{PATH} = "$build/sbin:$ENV{PATH}";
    my $script = '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gatepost; echo "${COMPREPLY[*]}"';
    open my $out, '-|', 'bash', '-c', $script, "$top/contrib/completion/gatepost.bash", @words or die "bash: $!";
    chomp(my $line = <$out> // '');
    return $line;
}
is completed(qw(gatepost conf)), 'config', 'a verb is completed';
is completed(qw(gatepost -c /nowhere config smtpd_helo_re)), "smtpd_helo_required smtpd_helo_restrictions", 'parameters, too';
like completed(qw(gatepost map tex)), qr/^texthash:$/, 'and table types';
done_testing;
