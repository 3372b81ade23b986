#!/usr/bin/perl
# t/003-params.t - every parameter that the code asks for is declared, and every declared one is documented and shown.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Gatepost::Test;
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
my $mta = Gatepost::Test->new;
my ($code, $text) = $mta->gatepost('config', '-d');
is $code, 0, 'gatepost config -d' or diag $text;
my %declared = map { /^(\S+) =/ ? ($1 => 1) : () } split /\n/, $text;
cmp_ok scalar(keys %declared), '>', 500, 'parameters';

my @unknown;
find({ no_chdir => 1, wanted => sub {
    return unless /\.c$/;
    my $file = $_;
    open my $f, '<', $file or die "$file: $!";
    local $/;
    my $source = <$f>;
    push @unknown, map { "$file: $_" } grep { !$declared{$_} } $source =~ /\bconf_(?:str|int|size|time_ms|bool)\(\w+, "(\w+)"\)/g;
} }, map { "$top/$_" } qw(lib mta policyd milters));
is_deeply \@unknown, [], 'what is asked for is declared';

my @undocumented;
for my $file (glob "$top/lib/conf/params_*.c") {
    open my $f, '<', $file or die "$file: $!";
    local $/;
    my $source = <$f>;
    push @undocumented, "$file: $1" while $source =~ /\{ "(\w+)", PARAM_\w+,[^}]*?, ""\s*\},/g;
}
is_deeply \@undocumented, [], 'each has its line of documentation';
done_testing;
